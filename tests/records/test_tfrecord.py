from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.records.tfrecord import open_records, read_records

RECORDS = [b"first", b"", b"x" * 100_000, b"last"]


def write(path: Path, compression: str = "") -> None:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in RECORDS:
            writer.write(record)


def read(path: Path) -> tuple[list[tuple[int, bytes]], list[tuple[int, str]]]:
    damages: list[tuple[int, str]] = []
    with open_records(str(path)) as stream:
        return list(read_records(stream, lambda number, reason: damages.append((number, reason)))), damages


@pytest.mark.parametrize(("name", "compression"), [("shard.tfrecord", ""), ("shard.tfrecord.gz", "GZIP")])
def test_reads_what_tensorflow_writes(tmp_path: Path, name: str, compression: str) -> None:
    write(tmp_path / name, compression)
    assert read(tmp_path / name) == (list(enumerate(RECORDS)), [])


def test_an_empty_file_holds_no_record(tmp_path: Path) -> None:
    (tmp_path / "shard.tfrecord").write_bytes(b"")
    assert read(tmp_path / "shard.tfrecord") == ([], [])


def damaged(tmp_path: Path, change: dict[int, int]) -> tuple[list[int], list[tuple[int, str]]]:
    """What reading says of the file with bits flipped at some places: the numbers of whole records, and damages."""
    path = tmp_path / "shard.tfrecord"
    write(path)
    data = bytearray(path.read_bytes())
    for place, bits in change.items():
        data[place] ^= bits
    path.write_bytes(data)
    whole, damages = read(path)
    assert all(record == RECORDS[number] for number, record in whole)
    return [number for number, _ in whole], damages


def test_flipped_data_costs_one_record(tmp_path: Path) -> None:
    assert damaged(tmp_path, {12: 1}) == ([1, 2, 3], [(0, "the checksum of its data differs")])
    # The third record begins at 21 + 16; its last byte of data stands before a checksum and the fourth of 20 bytes.
    assert damaged(tmp_path, {-25: 128}) == ([0, 1, 3], [(2, "the checksum of its data differs")])


@pytest.mark.parametrize("place", [21, 28, 29, 32])
def test_a_flipped_length_ends_the_reading(tmp_path: Path, place: int) -> None:
    whole, [(number, reason)] = damaged(tmp_path, {place: 4})
    assert whole == [0]
    assert number == 1
    assert "checksum of its length" in reason


@pytest.mark.parametrize(("kept", "whole", "reason"), [(-1, 3, "it is cut short"), (40, 2, "its header is cut short")])
def test_a_file_cut_short(tmp_path: Path, kept: int, whole: int, reason: str) -> None:
    path = tmp_path / "shard.tfrecord"
    write(path)
    path.write_bytes(path.read_bytes()[:kept])
    records, [(number, message)] = read(path)
    assert (len(records), number) == (whole, whole)
    assert message.startswith(reason)


@pytest.mark.parametrize("change", ["cut", "flip", "plain"])
def test_damaged_gzip(tmp_path: Path, change: str) -> None:
    path = tmp_path / "shard.tfrecord.gz"
    write(path, "GZIP")
    data = bytearray(path.read_bytes())
    if change == "cut":
        data = data[: len(data) // 2]
    elif change == "flip":
        data[len(data) // 2] ^= 255
    else:
        data = bytearray(gzip.decompress(data))
    path.write_bytes(data)
    records, damages = read(path)
    assert len(records) < len(RECORDS)
    assert "GZIP" in damages[0][1] or "cut short" in damages[0][1]


def test_a_length_beyond_the_file_takes_no_memory(tmp_path: Path) -> None:
    from pipeline.records.tfrecord import masked_crc

    length = (1 << 40).to_bytes(8, "little")
    damages: list[tuple[int, str]] = []
    stream = io.BytesIO(length + masked_crc(length) + b"short")
    assert not list(read_records(stream, lambda *damage: damages.append(damage)))
    assert damages == [(0, "it is cut short")]
