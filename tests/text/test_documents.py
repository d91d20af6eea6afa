from __future__ import annotations

from pathlib import Path

from pipeline.text.config import TextConfig
from pipeline.text.documents import clean_documents
from pipeline.text.reading.document import TextCounts
from pipeline.text.reading.plan import InputFile, plan_blocks


def test_documents_are_read_cleaned_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"One.\x00\n\nCaf\xe9.\n\n12345 12345\n\n" + b"Same.\n" * 20 + b"\n\x01\n\nThe last document.\n")
    (block,) = plan_blocks([InputFile(str(path), path.stat().st_size, "bert")], 1 << 20)

    def clean(**options: object) -> tuple[list[str], TextCounts]:
        counts = TextCounts()
        config = TextConfig(input=(str(path),), **options)  # type: ignore[arg-type]
        return [document.text for document in clean_documents(block.segments[0], config, counts)], counts

    dropped = {"dropped/few_letters": 1, "dropped/repeated_lines": 1, "dropped/empty": 1}
    bad = {"bad_text_documents": 1}
    documents, counts = clean()
    assert documents == ["One.", "Caf\ufffd.", "The last document."]
    assert counts == dropped | bad | {"characters_replaced": 1, "characters_removed": 2}
    documents, counts = clean(on_bad_text="drop", min_document_chars=5)
    assert documents == ["The last document."]
    assert counts == dropped | bad | {"characters_removed": 2, "dropped/bad_text": 1, "dropped/too_short": 1}
    documents, counts = clean(cleaning="none", max_document_chars=10)
    assert documents == ["One.\x00", "Caf\ufffd.", "\x01"]
    assert counts == bad | {"characters_replaced": 1, "dropped/too_long": 3}
