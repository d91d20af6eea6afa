import pytest

from pipeline.text.reading.formats import format_and_compression


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.txt", ("", "")),
        ("folder.jsonl/a", ("", "")),
        ("a.txt.gz", ("", "gzip")),
        ("gs://bucket/a.b.JSONL.Gz", ("jsonl", "gzip")),
        ("a.json.bz2", ("jsonl", "bzip2")),
        ("a.ndjson.zst", ("jsonl", "zstd")),
        ("a.xz", ("", "xz")),
        ("a.parquet", ("parquet", "")),
        ("data-00000-of-00001.arrow", ("arrow", "")),
        ("a.csv", ("csv", "")),
        ("a.tsv.gz", ("tsv", "gzip")),
        ("CC-MAIN-20240518.warc.wet.gz", ("warc", "gzip")),
    ],
)
def test_names_tell(path: str, expected: tuple[str, str]) -> None:
    assert format_and_compression(path) == expected
