from __future__ import annotations

import copy
import pickle

import pytest

from pipeline import errors
from pipeline.errors import InputError, UserError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UserError)]


def test_message_says_what_was_needed_what_came_and_what_to_do() -> None:
    error = InputError("The input must contain text", received="3 empty files", do="Give some text")
    assert str(error) == "The input must contain text. Received: 3 empty files. Give some text."


def test_parts_that_are_not_there_leave_no_trace() -> None:
    assert str(UserError("It failed")) == "It failed."
    assert str(UserError("It failed", do="Try again")) == "It failed. Try again."
    assert str(UserError("It must be even", received=0)) == "It must be even. Received: 0."


@pytest.mark.parametrize("end", [".", "?", "!"])
def test_sentences_end_once(end: str) -> None:
    assert str(UserError(f"It failed{end}", do=f"Why{end}")) == f"It failed{end} Why{end}"


@pytest.mark.parametrize("kind", KINDS)
def test_survives_pickling(kind: type[UserError]) -> None:
    error = kind("Needed", received="got", do="Do this")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)


def test_all_kinds_were_met() -> None:
    assert {"ConfigError", "InputError", "VocabularyError", "OutputError", "CorpusError"} < {k.__name__ for k in KINDS}
