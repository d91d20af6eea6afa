"""What a job reads: its files, their formats, and the plan that cuts them into blocks."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline import files
from pipeline.errors import ConfigError, InputError
from pipeline.files import FileInfo
from pipeline.text.config import TextConfig
from pipeline.text.formats import format_and_compression
from pipeline.text.parquet_reader import text_bytes_of_row_groups
from pipeline.text.plan import Block, InputFile, default_block_bytes, plan_blocks
from pipeline.text.sniffing import sniff_formats

_FOOTERS_AT_ONCE = 16  # On object stores, reading a footer is mostly waiting.


@dataclass(frozen=True)
class InputPlan:
    """A job's input, with what was left open decided.

    Attributes:
        files: the input files, in the order of the plan.
        detected: whether the formats were found out by names and by looking.
        block_bytes: the size of a block; never 0.
        blocks: the plan.
    """

    files: tuple[InputFile, ...]
    detected: bool
    block_bytes: int
    blocks: tuple[Block, ...]

    @property
    def bytes(self) -> int:
        """Bytes of input."""
        return sum(file.bytes for file in self.files)

    def describe(self) -> tuple[dict[str, Any], ...]:
        """The input files, as a manifest lists them."""
        return tuple(
            {"path": file.path, "bytes": file.bytes, "format": file.format}
            | ({"compression": file.compression} if file.compression else {})
            for file in self.files
        )

    def __str__(self) -> str:
        formats = Counter(" ".join(filter(None, (file.format, file.compression))) for file in self.files)
        return (
            f"{_count(len(self.files), 'file')}, {self.bytes / 1e6:,.1f} MB, format {', '.join(sorted(formats))}"
            f"{' (detected; --format says otherwise)' * self.detected}, {_count(len(self.blocks), 'block')}"
        )


def plan_inputs(config: TextConfig) -> InputPlan:
    """Lists the inputs and plans their blocks.

    Args:
        config: which input, in which format, and the size of a block.

    Raises:
        InputError: if a pattern names no file, all files are empty, or one is not in its format.
        ConfigError: if a file cannot be in the format that is asked for.
    """
    found = files.match(config.input)
    inputs = [info for info in found if info.bytes]
    if not inputs:
        raise InputError("The input must hold text", received=f"{_count(len(found), 'empty file')} ({found[0].path})")
    detected = config.format == "auto"
    formats = sniff_formats([info.path for info in inputs]) if detected else [config.format] * len(inputs)
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        described = tuple(pool.map(_describe, inputs, formats, itertools.repeat(config.text_field)))
    total = sum(file.text_bytes for file in described)
    if not total:
        raise InputError("The input must hold text", received="Parquet files without rows")
    block_bytes = config.block_bytes or default_block_bytes(total)
    return InputPlan(described, detected, block_bytes, tuple(plan_blocks(described, block_bytes)))


def _describe(info: FileInfo, text_format: str, text_field: str) -> InputFile:
    named, compression = format_and_compression(info.path)
    if text_format == "parquet" and compression:
        raise ConfigError(f"{info.path}: Parquet compresses within, and cannot be read compressed as a whole")
    if named == "parquet" and text_format != "parquet":
        raise ConfigError(
            f"{info.path} must be read as Parquet, as its name says",
            received=f"--format {text_format}",
            do="Leave --format out: each file then has its own format, by its name",
        )
    row_groups = text_bytes_of_row_groups(info.path, text_field) if text_format == "parquet" else ()
    return InputFile(info.path, info.bytes, text_format, compression, row_groups)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
