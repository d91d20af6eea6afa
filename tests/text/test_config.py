from __future__ import annotations

from typing import Any

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.vocab.config import VocabConfig
from pipeline.errors import ConfigError

KINDS = [(CorpusConfig, {"output": "o", "vocab": "v"}), (VocabConfig, {"output": "o"})]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": ()}, "input is required"),
        ({"block_bytes": 1000}, "block_bytes must be 0 or at least 1024"),
        ({"format": "xml"}, "format must be one of auto, bert, lines, wrapped, jsonl, parquet, arrow, csv, tsv, warc"),
        ({"on_bad_text": "keep"}, "on_bad_text must be one of replace, drop"),
        ({"cleaning": "harsh"}, "cleaning must be one of none, default, strict"),
        ({"document_separator": " "}, "document_separator must be the text of a line, or contain line ends"),
        ({"text_field": ""}, "text_field must name a field"),
        ({"min_document_chars": 0}, "min_document_chars must be between 1 and"),
        ({"cleaning": "strict", "max_document_chars": 99}, r"must be at least min_document_chars \(100\)"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    for kind, needed in KINDS:
        with pytest.raises(ConfigError, match=message):
            kind(**({"input": ("texts",)} | needed | options))


def test_limits_of_ones_own_stand_over_the_presets() -> None:
    config = CorpusConfig(input=("texts",), output="o", vocab="v", cleaning="strict", max_document_chars=1000)
    rules = config.cleaning_rules()
    assert (rules.min_chars, rules.max_chars) == (100, 1000)
