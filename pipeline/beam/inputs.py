"""What a job reads: its files, their format, and the plan that cuts them into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import files
from pipeline.errors import InputError
from pipeline.files import FileInfo
from pipeline.text.plan import Block, default_block_bytes, plan_blocks
from pipeline.text.readers import sniff_format


@dataclass(frozen=True)
class InputPlan:
    """A job's input, with what was left open decided.

    Attributes:
        files: the input files, in the order of the plan.
        format: their format; never "auto".
        detected: whether the format was found out by looking.
        block_bytes: the size of a block; never 0.
        blocks: the plan.
    """

    files: tuple[FileInfo, ...]
    format: str
    detected: bool
    block_bytes: int
    blocks: tuple[Block, ...]

    @property
    def bytes(self) -> int:
        """Bytes of input."""
        return sum(info.bytes for info in self.files)

    def __str__(self) -> str:
        return (
            f"{len(self.files):,} file{'s' * (len(self.files) != 1)}, {self.bytes / 1e6:,.1f} MB of text,"
            f" format {self.format}{' (detected; --format says otherwise)' * self.detected},"
            f" {len(self.blocks):,} block{'s' * (len(self.blocks) != 1)}"
        )


def plan_inputs(patterns: Sequence[str], text_format: str, block_bytes: int) -> InputPlan:
    """Lists the inputs and plans their blocks.

    Args:
        patterns: files, directories and globs.
        text_format: a key of `pipeline.text.readers.FORMATS`, or "auto".
        block_bytes: the size of a block, or 0.

    Raises:
        InputError: if a pattern names no file, or all files are empty.
    """
    inputs = tuple(files.match(patterns))
    total = sum(info.bytes for info in inputs)
    if not total:
        raise InputError(
            "The input must hold text",
            received=f"{len(inputs)} empty file{'s' * (len(inputs) != 1)} ({inputs[0].path})",
        )
    detected = text_format == "auto"
    if detected:
        text_format = sniff_format(next(info.path for info in inputs if info.bytes))
    block_bytes = block_bytes or default_block_bytes(total)
    return InputPlan(inputs, text_format, detected, block_bytes, tuple(plan_blocks(inputs, block_bytes)))
