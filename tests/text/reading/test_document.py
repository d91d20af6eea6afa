"""Where documents are said to be, and which of the dropped ones are kept as samples."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.make import make_corpus
from pipeline.inspection.stats import render_summary, summarize_manifest
from pipeline.text.config import TextConfig
from pipeline.text.inputs import plan_inputs
from pipeline.text.readers import read_documents
from pipeline.text.reading.document import Document, TextCounts


def places(path: Path, **options: object) -> list[list[tuple[str, str]]]:
    """Of each block of a file, the documents' texts and places."""
    plan = plan_inputs(TextConfig(input=(str(path),), **options))  # type: ignore[arg-type]
    found = []
    for block in plan.blocks:
        documents = [d for segment in block.segments for d in read_documents(segment, TextConfig(), TextCounts())]
        assert {document.path for document in documents} <= {str(path)}
        found.append([(document.text, document.place) for document in documents])
    return found


def test_lines_of_json_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n\n".join(json.dumps({"text": f"{number:0900}"}) for number in range(4)))
    assert places(path) == [[(f"{number:0900}", f"line {2 * number + 1}") for number in range(4)]]
    first, second, *_ = places(path, block_bytes=1024)
    assert [place for _, place in first] == ["line 1"]
    _, start = second[0][1].split(" after byte ")
    lines = path.read_bytes()[int(start.replace(",", "")) :].split(b"\n")[1:]  # The first is the earlier block's.
    assert json.loads(lines[int(second[0][1].split()[1]) - 1])["text"] == second[0][0]


def test_rows_are_counted_from_the_files_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"{number:0900}" for number in range(4)]}), path, row_group_size=2)
    expected = [(f"{number:0900}", f"row {number + 1}") for number in range(4)]
    blocks = places(path, block_bytes=1024)
    assert len(blocks) > 1
    assert [found for block in blocks for found in block] == expected


def test_documents_of_text_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("One.\n\n\n\nTwo.\n\nThree.\n")
    assert places(path, format="bert") == [[("One.", "document 1"), ("Two.", "document 2"), ("Three.", "document 3")]]


def test_the_first_three_of_a_reason_are_kept() -> None:
    counts = TextCounts()
    for number in range(5):
        counts.drop(Document(f"{number}\n\udce9" + "x" * 200, "a.txt", f"document {number}"), "empty")
    counts.drop(Document("", "b.txt", "line 1"), "no_text")
    assert counts == {"dropped/empty": 5, "dropped/no_text": 1}
    assert [sample["place"] for sample in counts.dropped["empty"]] == ["document 0", "document 1", "document 2"]
    assert counts.dropped["empty"][0] == {"file": "a.txt", "place": "document 0", "text": "0 ?" + "x" * 77}
    assert counts.dropped["no_text"] == [{"file": "b.txt", "place": "line 1", "text": ""}]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_corpus_names_what_it_dropped(tmp_path: Path, vocabulary_path: str, workers: int) -> None:
    texts = [f"It is the year {year}.\nThe next one follows." for year in range(60)]
    texts[7], texts[30], texts[50] = "12345 67890", texts[3], "!!! ???"
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) + "{}\n")
    config = CorpusConfig(
        input=(str(path),),
        output=str(tmp_path / "out"),
        vocab=vocabulary_path,
        dedup="exact",
        on_bad_text="drop",
        block_bytes=2048,
    )
    manifest = make_corpus(config, workers=workers, show_progress=False)
    samples = manifest.statistics["text"]["dropped_samples"]
    assert {reason: len(found) for reason, found in samples.items()} == manifest.statistics["text"]["dropped"]
    assert samples["few_letters"][0] == {"file": str(path), "place": "line 8", "text": "12345 67890"}
    assert samples["duplicate"][0]["text"] == "It is the year 3. The next one follows."
    assert samples["no_text_field"][0]["text"] == "{}"
    rendered = render_summary(summarize_manifest(manifest))
    assert f"  few letters: {path}, line 8: '12345 67890'" in rendered
