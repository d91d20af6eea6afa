import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.make import make_vocabulary
from pipeline.errors import ConfigError, InputError
from pipeline.text.split import is_set_apart
from pipeline.tokenizers import make_tokenizer, tokenizer_of_file
from pipeline.tokenizers.normalizer import BertNormalizer

TEXT = "\n\n".join(
    f"The old captain number {i} follows the narrow river, and the river follows the sea." for i in range(40)
)


def make(path: Path, **options: Any) -> tuple[list[str], dict[str, Any], str]:
    """A vocabulary: its tokens, what the .json beside it says, and what is printed."""
    output = path / "vocab"
    size = 300 if options.get("kind") == "bytebpe" else 100  # The bytes alone are 256 entries.
    workers = options.pop("workers", 1)
    printed = make_vocabulary(
        VocabConfig(**{"input": (str(path / "*.text"),), "output": str(output), "vocab_size": size} | options),
        workers=workers,
        show_progress=False,
    )
    description = json.loads(Path(f"{output}.json").read_text())
    data = output.read_bytes()
    assert description["sha256"] == hashlib.sha256(data).hexdigest()
    return list(make_tokenizer(data).tokens), description, printed


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "a.text").write_text(TEXT)
    return tmp_path


def test_learns_from_what_is_not_held_out_and_is_judged_on_the_rest(text: Path) -> None:
    tokens, description, printed = make(text, held_out_fraction=0.3, format="lines")
    documents = TEXT.split("\n\n")
    held_out = [document for document in documents if is_set_apart(document, 0.3, 12345)]
    learned = [document for document in documents if document not in held_out]
    assert 4 < len(held_out) < 25
    words = [word for document in learned for word in BertNormalizer(lower_case=True).words(document)]
    assert description["learned_from"] == {
        "documents": len(learned),
        "words": len(words),
        "distinct_words": len(set(words)),
        "words_dropped_by_max_words": 0,
    }
    assert description["entries"] == len(tokens)
    assert description["held_out"]["documents"] == len(held_out)
    assert description["held_out"]["words"] == sum(len(document.split()) for document in held_out)
    assert description["held_out"]["tokens_per_word"] > 1.1  # The comma and the full stop, at least.
    assert f"of {len(held_out)} documents" in printed
    assert not list(text.glob("*.d"))


def test_what_cannot_be_spelled_is_listed(text: Path) -> None:
    lost = next(d for d in (f"The river of number {i} is wide, ψ." for i in range(999)) if is_set_apart(d, 0.3, 12345))
    (text / "b.text").write_text(lost)
    _, description, printed = make(text, held_out_fraction=0.3, format="lines")
    assert description["held_out"]["lost_characters"]["ψ"] == 1
    assert "'ψ' 1" in printed


@pytest.mark.parametrize(("kind", "fraction"), [("wordpiece", 0.5), ("unigram", 0.5), ("bpe", 0.0), ("bytebpe", 0.3)])
def test_is_the_same_for_any_cut_order_and_number_of_workers(text: Path, kind: str, fraction: float) -> None:
    one = make(text, kind=kind, held_out_fraction=fraction, format="lines")
    documents = TEXT.split("\n\n")
    (text / "a.text").write_text("\n\n".join(documents[:7]))
    (text / "b.text").write_text("\n\n".join(documents[:6:-1]))
    two = make(text, kind=kind, held_out_fraction=fraction, format="lines", block_bytes=1024, workers=2)
    assert one[0] == two[0]
    for name in ("learned_from", "held_out"):
        assert one[1][name] == two[1][name]


def test_nothing_held_out(text: Path) -> None:
    _, description, printed = make(text, held_out_fraction=0.0, format="lines")
    assert description["held_out"]["documents"] == 0
    assert "tokens_per_word" not in description["held_out"]
    assert "--held-out-fraction" in printed


def test_nothing_to_learn_from(text: Path) -> None:
    document = next(d for d in (f"Lonely text {i}." for i in range(999)) if is_set_apart(d, 0.5, 12345))
    (text / "a.text").write_text(document)
    with pytest.raises(InputError, match=r"none in 0 documents, with 1 documents held out.*--held-out-fraction"):
        make(text, held_out_fraction=0.5, format="lines")
    assert [path.name for path in text.iterdir()] == ["a.text"]


def test_rare_words_beyond_the_limit_are_dropped_and_counted(tmp_path: Path) -> None:
    frequent = " ".join(f"a{i}" for i in range(900))
    rare = " ".join(f"b{i}" for i in range(300))
    (tmp_path / "a.text").write_text(f"{frequent} {frequent} {rare}")
    _, description, printed = make(tmp_path, held_out_fraction=0.0, format="lines", max_words=1000)
    assert description["learned_from"]["distinct_words"] == 1000
    assert description["learned_from"]["words_dropped_by_max_words"] == 200
    assert "200 rare ones dropped by --max-words" in printed


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bpe", "bytebpe"])
def test_special_and_unused_tokens(text: Path, kind: str) -> None:
    tokens, description, _ = make(text, kind=kind, format="lines", special_tokens=("[URL]",), unused_tokens=2)
    assert tokens[:8] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[URL]", "[unused0]", "[unused1]"]
    assert description["options"]["kind"] == kind


def test_bytes_leave_nothing_unknown(text: Path) -> None:
    lost = next(d for d in (f"The river of number {i} is wide, ψ." for i in range(999)) if is_set_apart(d, 0.3, 12345))
    (text / "b.text").write_text(lost)
    options: dict[str, Any] = {"kind": "unigram", "held_out_fraction": 0.3, "format": "lines", "vocab_size": 400}
    assert make(text, **options)[1]["held_out"]["lost_characters"] == {"ψ": 1}
    spelled = make(text, byte_fallback=True, **options)[1]["held_out"]
    assert spelled["unknown_share"] == 0
    assert spelled["lost_characters"] == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "sentencepiece"}, "kind must be one of wordpiece, unigram, bpe, bytebpe"),
        ({"byte_fallback": True}, "byte_fallback needs kind unigram or bpe"),
        ({"kind": "bytebpe", "byte_fallback": True}, "byte_fallback needs kind unigram or bpe"),
        ({"kind": "bpe", "min_count": 3}, "min_count needs kind wordpiece"),
        ({"special_tokens": ("URL",)}, r"must look like \[URL\]"),
        ({"special_tokens": ("[SEP]",)}, r"\[SEP\] twice"),
        ({"character_coverage": 1.5}, "character_coverage must be between"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VocabConfig(input=("text",), output="vocab", **options)


def test_fewer_entries_than_asked_for_are_mentioned(text: Path) -> None:
    tokens, description, printed = make(text, vocab_size=3000)
    assert f"Worth a look\n  - The vocabulary has {len(tokens)} entries instead of 3,000" in printed
    assert len(description["worth_a_look"]) == 1


def test_marks_of_scripts_without_case_that_are_lost_are_mentioned(tmp_path: Path) -> None:
    (tmp_path / "a.text").write_text("\n\n".join(f"वह {i} किताब पढ़ती है। यह नदी है।" for i in range(60)))
    _, description, printed = make(tmp_path, held_out_fraction=0.2)
    assert "strips the marks of scripts without case: है। becomes ह।" in printed
    assert "--no-lower-case keeps them" in description["worth_a_look"][-1]
    assert "strips the marks" not in make(tmp_path, held_out_fraction=0.2, lower_case=False)[2]


def test_a_byte_level_bpe_is_a_tokenizer_file(text: Path) -> None:
    (text / "b.text").write_text("\n\n".join(f"Çà et là, {i} ψ 中文" for i in range(40)))
    options: dict[str, Any] = {"kind": "bytebpe", "held_out_fraction": 0.3, "format": "lines"}
    tokens, description, printed = make(text, **options)
    tokenizer = make_tokenizer((text / "vocab").read_bytes())
    assert tokenizer.describe().kind == "huggingface"
    assert len(tokens) == description["entries"] == 300
    assert "300 entries (bytebpe)" in printed
    assert description["held_out"]["unknown_share"] == 0
    assert tokenizer.decode(tokenizer.encode(["Çà The"]).ids) == "çà the"
    make(text, lower_case=False, **options)
    cased, casing = tokenizer_of_file(str(text / "vocab"), (text / "vocab").read_bytes())
    assert cased.decode(cased.encode(["Çà The"]).ids) == "Çà The"
    assert "normalises it by its own rules" in str(casing)  # Whatever the .json beside it says of learning.
