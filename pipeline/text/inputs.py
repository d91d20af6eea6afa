"""The input of a job: its files, their formats, and the plan that cuts them into blocks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline import files
from pipeline.errors import ConfigError, InputError
from pipeline.files import FileInfo
from pipeline.text.config import TextConfig
from pipeline.text.reading.content import check_is_text, read_head
from pipeline.text.reading.formats import FORMATS, format_and_compression
from pipeline.text.reading.plan import Block, InputFile, default_block_bytes, plan_blocks
from pipeline.text.reading.saved_datasets import without_descriptions
from pipeline.text.reading.sniffing import sniff_formats

_MOST_LISTED = 10_000  # Maximum number of files in a manifest, which every training run reads.
_FILES_AT_ONCE = 16  # On object stores, reading the beginning or the end of a file is mostly waiting.
_MOST_LOOKED_AT = 500  # Maximum number of files checked before the job starts; workers check every file.


@dataclass(frozen=True)
class InputPlan:
    """A job's input, with formats and block size resolved.

    Attributes:
        files: the input files, in the order of the plan.
        detected: whether the formats were detected from names and content.
        block_bytes: the size of a block; never 0.
        blocks: the plan.
    """

    files: tuple[InputFile, ...]
    detected: bool
    block_bytes: int
    blocks: tuple[Block, ...]

    @property
    def bytes(self) -> int:
        """Total bytes of the input files."""
        return sum(file.bytes for file in self.files)

    def describe(self) -> tuple[dict[str, Any], ...]:
        """Returns the input files as listed in the manifest; if there are very many, their number per directory."""
        if len(self.files) <= _MOST_LISTED:
            return tuple({"path": file.path, "bytes": file.bytes} | _kind(file) for file in self.files)
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        for file in self.files:
            group = groups[file.path.rpartition("/")[0] + "/", file.format, file.compression]
            group[0] += 1
            group[1] += file.bytes
        return tuple(
            {"path": path, "files": number, "bytes": size} | _kind(InputFile(path, size, text_format, compression))
            for (path, text_format, compression), (number, size) in groups.items()
        )

    def __str__(self) -> str:
        formats = Counter(" ".join(filter(None, (file.format, file.compression))) for file in self.files)
        return (
            f"{_count(len(self.files), 'file')}, {self.bytes / 1e6:,.1f} MB, format {', '.join(sorted(formats))}"
            f"{' (detected; override with --format)' * self.detected}, {_count(len(self.blocks), 'block')}"
        )


def _kind(file: InputFile) -> dict[str, str]:
    return {"format": file.format} | ({"compression": file.compression} if file.compression else {})


def plan_inputs(config: TextConfig) -> InputPlan:
    """Lists the inputs and plans their blocks.

    Args:
        config: the options, among them the input, its format and the size of a block.

    Raises:
        InputError: if a pattern matches no file, all files are empty, or a file is not in its format.
        ConfigError: if a file cannot be read in the requested format.
    """
    # If a job writes into its input directory, a second run must still read the same files as the first.
    matched = files.match(config.input)
    found = [info for info in matched if not config.writes(info.path)]
    if not found:
        raise InputError(
            "The input must contain files other than the job's own output",
            received=matched[0].path,
            do="Choose another output: input files are never overwritten",
        )
    inputs = [info for info in without_descriptions(found) if info.bytes]
    if not inputs:
        raise InputError(
            "The input must contain text", received=f"{_count(len(found), 'empty file')} ({found[0].path})"
        )
    detected = config.format == "auto"
    formats = sniff_formats([info.path for info in inputs]) if detected else [config.format] * len(inputs)
    described = _describe_all(inputs, formats, config)
    total = sum(file.text_bytes for file in described)
    if not total:
        raise InputError("The input must contain text", received="Parquet or Arrow files without rows")
    block_bytes = config.block_bytes or default_block_bytes(total)
    return InputPlan(described, detected, block_bytes, tuple(plan_blocks(described, block_bytes)))


def _describe_all(inputs: Sequence[FileInfo], formats: Sequence[str], config: TextConfig) -> tuple[InputFile, ...]:
    """Describes each file for the plan, with the sizes of its pieces if its format has them."""
    described = [_describe(info, text_format) for info, text_format in zip(inputs, formats, strict=True)]
    in_pieces = {
        place: pieces
        for place, file in enumerate(described)
        if not file.compression and (pieces := FORMATS[file.format].pieces)
    }
    text = [file for file in described if FORMATS[file.format].is_text]
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        list(pool.map(_check_begins_as_text, text[:: -(-len(text) // _MOST_LOOKED_AT) or 1]))
        sizes = pool.map(lambda place: in_pieces[place](described[place].path, config), in_pieces)
        for place, found in zip(in_pieces, sizes, strict=True):
            described[place] = described[place]._replace(pieces=found)
        if len(described) <= _MOST_LISTED:  # Each takes a request to the store.
            checksums = pool.map(lambda file: files.checksum(file.path), described)
            for place, checksum in enumerate(checksums):
                modified = f"{described[place].modified} {checksum}".strip()
                described[place] = described[place]._replace(modified=modified)
    return tuple(described)


def _check_begins_as_text(file: InputFile) -> None:
    try:
        head = read_head(file.path, file.compression)
    except InputError:  # The worker reports it, and the results of other files are kept.
        return
    check_is_text(file.path, head, file.format)


def _describe(info: FileInfo, text_format: str) -> InputFile:
    named, compression = format_and_compression(info.path)
    if compression and not FORMATS[text_format].may_be_compressed:
        raise ConfigError(
            f"{info.path}: {text_format.capitalize()} compresses internally; a file that is also compressed as a whole"
            " cannot be read"
        )
    if named and not FORMATS[named].is_text and text_format != named:
        raise ConfigError(
            f"{info.path} must be read as {named.capitalize()}, as its name says",
            received=f"--format {text_format}",
            do="Omit --format: the name of each file then determines its format",
        )
    return InputFile(info.path, info.bytes, text_format, compression, modified=info.modified)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
