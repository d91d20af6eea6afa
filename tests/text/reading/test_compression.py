from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from pipeline.errors import InputError
from pipeline.text.reading.compression import read_decompressed

COMPRESS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress}
DATA = b"".join(b"Line %d of some text.\n" % (i * i) for i in range(20_000))


def read(path: Path, compression: str) -> bytes:
    return b"".join(read_decompressed(str(path), compression))


@pytest.mark.parametrize("compression", list(COMPRESS))
def test_members_make_one_file(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "file"
    compress = COMPRESS[compression]
    path.write_bytes(compress(DATA) + compress(b"") + compress(b"The end."))
    assert read(path, compression) == DATA + b"The end."
    path.write_bytes(compress(b""))
    assert read(path, compression) == b""


def test_padding_with_zeros_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"One.") + b"\0" * 512)
    assert read(path, "gzip") == b"One."


@pytest.mark.parametrize("compression", list(COMPRESS))
def test_damage_is_an_error_that_names_the_file(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "damaged"
    whole = COMPRESS[compression](DATA)
    half = len(whole) // 2
    # zstandard writes no checksum by default: damage within it may go unnoticed, but not in its structure.
    flipped = whole[:4] + bytes(byte ^ 0xFF for byte in whole[4:64]) + whole[64:]
    for data in (b"", whole[:half], whole[:-1], b"no such format", whole + b"no such format", flipped):
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"damaged is not a complete {compression} file"):
            read(path, compression)
    path.unlink()
    with pytest.raises(InputError, match=r"Cannot read .*damaged"):
        read(path, compression)
