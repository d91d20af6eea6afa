from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.errors import ConfigError, InputError
from pipeline.text.splitters import check_sentence_splitter, sentence_splitter

DOCUMENT = "It rained. Nobody came.\nIt was over."


def by_stops(document: str) -> list[str]:
    return [f" {part} \n" for part in re.split(r"(?<=\.)", document)]


def not_a_list(document: str) -> Any:
    return document


def of_numbers(document: str) -> Any:
    return [len(document)]


def failing_on_rain(document: str) -> list[str]:
    if "heavily" in document:
        raise RuntimeError("too wet")
    return [document]


@pytest.mark.parametrize(
    ("name", "text_format", "sentences"),
    [
        ("auto", "wrapped", ["It rained.", "Nobody came.", "It was over."]),
        ("auto", "bert", ["It rained. Nobody came.", "It was over."]),
        ("rules", "bert", ["It rained.", "Nobody came.", "It was over."]),
        ("lines", "wrapped", ["It rained. Nobody came.", "It was over."]),
        ("none", "jsonl", ["It rained. Nobody came. It was over."]),
        (f"{__name__}:by_stops", "lines", ["It rained.", "Nobody came.", "It was over."]),
    ],
)
def test_splitters(name: str, text_format: str, sentences: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    check_sentence_splitter(name)
    assert sentence_splitter(name, text_format)(DOCUMENT) == sentences


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "punkt",
            "sentence_splitter must be one of auto, rules, lines, none, or package.module:function. Received: 'pu",
        ),
        ("no.such.module:split", "must be importable, here and on every worker. Received: ModuleNotFoundError: No mod"),
        ("re:no_such_function", "must be importable, here and on every worker. Received: AttributeError: "),
        ("re:I", "must be a function. Received: "),
        ("os:getpid", "must return a list of strings for every document. Received: TypeError: "),
        (f"{__name__}:not_a_list", "must return a list of strings for every document. Received: TypeError: a string"),
        (f"{__name__}:of_numbers", "must return a list of strings for every document. Received: AttributeError"),
    ],
)
def test_what_is_no_splitter(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_sentence_splitter(name)


def test_a_splitter_that_fails_on_a_document() -> None:
    split = sentence_splitter(f"{__name__}:failing_on_rain", "lines")
    assert split(DOCUMENT) == ["It rained. Nobody came. It was over."]
    with pytest.raises(InputError, match=r"RuntimeError: too wet, for 'It rained heavily"):
        split("It rained heavily.")
