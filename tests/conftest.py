"""What the tests share: a tiny vocabulary, and text made up on the spot."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

# As the command line does: TensorFlow's notes on start-up are of no use in a report.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NOUNS = "river mountain captain ship garden letter window horse doctor village winter stranger lantern harbour".split()
VERBS = "carries follows watches finds remembers crosses leaves reaches opens answers".split()
ADJECTIVES = "old quiet bright narrow distant patient broken golden curious weary".split()
SMALL_WORDS = "the a of to in and with for from on but that it was this".split()


@pytest.fixture(scope="session")
def vocabulary_tokens() -> list[str]:
    """An uncased vocabulary: every letter and digit can be spelled; half of the words are whole, others in pieces."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = SMALL_WORDS + NOUNS[::2] + VERBS[::2] + ADJECTIVES[::2]
    pieces = ["##s", "##es", "##er", "##in", "##ing", "##ed", "##ent", "##ous", "##ter", "##our"]
    letters = [c for c in characters if c not in words] + [f"##{c}" for c in characters if f"##{c}" not in pieces]
    return [*SPECIAL, "[unused0]", "[unused1]", *".,;:!?'\"-()[]", *letters, *pieces, *words]


@pytest.fixture(scope="session")
def vocabulary(vocabulary_tokens: list[str]) -> bytes:
    """The bytes of its file."""
    return "".join(f"{token}\n" for token in vocabulary_tokens).encode()


@pytest.fixture(scope="session")
def vocabulary_path(vocabulary: bytes, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_bytes(vocabulary)
    return str(path)


@pytest.fixture(scope="session")
def documents() -> list[list[str]]:
    """Sixty documents of 1 to 14 sentences; the same in every run."""
    draw = random.Random(20190524)
    return [[_sentence(draw) for _ in range(draw.randint(1, 14))] for _ in range(60)]


def _sentence(draw: random.Random) -> str:
    def phrase() -> str:
        return f"{draw.choice(['the', 'a', 'this'])} {draw.choice(ADJECTIVES)} {draw.choice(NOUNS)}"

    parts = [f"{phrase()} {draw.choice(VERBS)} {phrase()}"]
    parts += [f"{draw.choice(['and', 'but', 'of', 'with'])} {phrase()}" for _ in range(draw.randint(0, 4))]
    return " ".join(parts).capitalize() + draw.choice(".....!?")


@pytest.fixture(scope="session")
def bert_text(documents: list[list[str]]) -> str:
    """The documents in BERT's own format."""
    return "\n\n".join("\n".join(document) for document in documents) + "\n"


@pytest.fixture
def text_files(tmp_path: Path, bert_text: str) -> str:
    """The documents in two files of BERT's format, in a directory of their own."""
    folder = tmp_path / "texts"
    folder.mkdir()
    half = bert_text.index("\n\n", len(bert_text) // 3)
    (folder / "one.txt").write_text(bert_text[:half] + "\n")
    (folder / "two.txt").write_text(bert_text[half:].lstrip())
    return str(folder)
