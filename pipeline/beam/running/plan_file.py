"""The plan as a file in the work folder, so that the pipeline itself contains only block numbers.

Runners store a pipeline's initial elements in the pipeline, whose size they limit (Dataflow: 10 MB); the plan of a
million files has 100 MB.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import files
from pipeline.text.reading.plan import Block, Segment

_KEY_DIGITS = 16  # Hexadecimal: enough to tell apart all runs in a folder.


@dataclass(frozen=True)
class PlanFile:
    """A plan that workers read block by block; can be pickled.

    Attributes:
        folder: its folder.
        key: distinguishes it from the plans of other runs, whose workers may still be reading them.
    """

    folder: str
    key: str = ""

    def path(self, name: str) -> str:
        """Returns the path of a file in the folder that belongs to this plan's run."""
        return files.join(self.folder, f"{self.key[:_KEY_DIGITS]}-{name}" if self.key else name)

    def write(self, blocks: Sequence[Block]) -> None:
        """Writes a plan, whose blocks are numbered from 0: one line per block, and a table of where the lines begin.

        Raises:
            OutputError: if it cannot be written.
        """
        position = 0
        with files.write_file(self._lines) as lines, files.write_file(self._table) as table:
            table.write(struct.pack("<q", 0))
            for block in blocks:
                segments = [
                    (s.path, s.start, s.end, s.file_bytes, s.text_bytes, s.format, s.compression, s.modified)
                    for s in block.segments
                ]
                line = json.dumps(segments).encode() + b"\n"
                position += len(line)
                lines.write(line)
                table.write(struct.pack("<q", position))

    def block(self, index: int) -> Block:
        """Reads one block of the plan.

        Raises:
            InputError: if the plan cannot be read.
        """
        with files.open_read(self._table, 8 * index) as table:
            start, end = struct.unpack("<2q", table.read(16))
        with files.open_read(self._lines, start) as lines:
            return Block(index, tuple(Segment(*segment) for segment in json.loads(lines.read(end - start))))

    @property
    def _lines(self) -> str:
        return self.path("plan.jsonl")

    @property
    def _table(self) -> str:
        return self.path("plan.table")
