import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.extend import read_base
from pipeline.beam.vocab.make import make_vocabulary
from pipeline.cli import main
from pipeline.errors import ConfigError, UserError, VocabularyError
from pipeline.text.split import is_set_apart
from pipeline.tokenizers import make_tokenizer, tokenizer_of_file
from pipeline.tokenizers.learning.coverage import coverage
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS

SAMPLE = Path(__file__).parents[3] / "vocab" / "sample-uncased-8k.txt"
LETTERS = [mark + chr(code) for code in range(97, 123) for mark in ("", "##")]
OLD = ["[PAD]", "[unused0]", "[UNK]", "[unused1]", "[CLS]", "[SEP]", "[MASK]", ".", "the", *LETTERS]


def sentences(count: int) -> list[str]:
    draw = random.Random(7)
    stems = ["quorvex", "blimtas", "zindle", "marfold", "thresk", "ovundra"]
    return [
        " ".join(f"The {draw.choice(stems)}{draw.choice(['', 's', 'ing'])}" for _ in range(6)) + "."
        for _ in range(count)
    ]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.txt"
    path.write_text("".join(f"{token}\n" for token in OLD))
    (tmp_path / "a.text").write_text("\n\n".join(sentences(60)))
    return path


def extend(folder: Path, old: Path, *, workers: int = 1, **options: Any) -> tuple[list[str], dict[str, Any], str]:
    """The entries, what the .json beside them says, and what is printed."""
    output = folder / "new.txt"
    chosen = {
        "input": (str(folder / "*.text"),),
        "output": str(output),
        "extend": str(old),
        "format": "lines",
    } | options
    printed = make_vocabulary(VocabConfig(**chosen), workers=workers, show_progress=False)
    return output.read_text().split("\n")[:-1], json.loads(Path(f"{output}.json").read_text()), printed


def test_new_entries_take_unused_places_and_then_follow_behind(tmp_path: Path, old: Path) -> None:
    tokens, description, printed = extend(tmp_path, old, add=4, held_out_fraction=0.3)
    assert len(tokens) == len(OLD) + 2
    kept = [index for index, token in enumerate(OLD) if "unused" not in token]
    assert [tokens[index] for index in kept] == [OLD[index] for index in kept]
    new = [tokens[1], tokens[3], *tokens[len(OLD) :]]
    assert all(len(token.removeprefix("##")) > 4 for token in new)
    assert description["extends"]["added"] == 4
    assert description["extends"]["in_unused_places"] == 2
    assert f"4 new ones (2 in unused places, 2 behind), such as {', '.join(new)}" in printed
    assert description["options"]["lower_case"] is True


def test_held_out_text_is_measured_before_and_after(tmp_path: Path, old: Path) -> None:
    _, description, printed = extend(tmp_path, old, add=6, held_out_fraction=0.3)
    documents = (tmp_path / "a.text").read_text().split("\n\n")
    held_out = [document for document in documents if is_set_apart(document, 0.3, 12345)]
    assert 8 < len(held_out) < 30
    counts: dict[str, int] = {}
    for word in " ".join(held_out).split():
        counts[word] = counts.get(word, 0) + 1
    before, after = (
        coverage(tokenizer_of_file(str(path), path.read_bytes())[0], counts) for path in (old, tmp_path / "new.txt")
    )
    assert description["held_out"]["tokens_per_word"] == round(after.tokens_per_word, 4)
    assert description["held_out"]["before"]["tokens_per_word"] == round(before.tokens_per_word, 4)
    assert after.tokens < 0.5 * before.tokens
    assert f"tokens per word  {before.tokens_per_word:9.4f} {after.tokens_per_word:9.4f}" in printed
    assert f"({after.tokens / before.tokens - 1:+.1%} tokens)" in printed


def test_is_the_same_for_any_cut_order_and_number_of_workers(tmp_path: Path, old: Path) -> None:
    one = extend(tmp_path, old, add=30)
    documents = sentences(60)
    (tmp_path / "a.text").write_text("\n\n".join(documents[:21]))
    (tmp_path / "b.text").write_text("\n\n".join(documents[:20:-1]))
    two = extend(tmp_path, old, add=30, block_bytes=1024, workers=2)
    assert one[0] == two[0]
    for name in ("extends", "learned_from", "held_out"):
        assert one[1][name] == two[1][name]


def test_the_command_extends_a_vocabulary_of_real_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text without new entries has the same ids; an extended vocabulary can be extended again."""
    (tmp_path / "a.text").write_text("\n\n".join(sentences(400)))
    command = ["vocab", "--input", str(tmp_path / "a.text"), "--format", "lines", "--no-progress", "--add", "12"]
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    assert main([*command, "--extend", str(SAMPLE), "--output", str(first)]) == 0
    assert f"8,204 entries: the 8,192 of {SAMPLE}, and 12 new ones (12 behind)" in capsys.readouterr().out
    old, new = (tokenizer_of_file(str(path), path.read_bytes())[0] for path in (SAMPLE, first))
    assert list(new.tokens[:8192]) == list(old.tokens)
    assert new.lower_case
    text = ["This function returns the length of the list, or raises a ValueError."]
    assert old.encode(text)[0].tolist() == new.encode(text)[0].tolist()
    spoken = ["The Quorvexing quorvex"]
    assert len(new.encode(spoken)[0]) < len(old.encode(spoken)[0])
    assert main([*command, "--extend", str(first), "--output", str(second)]) == 0
    assert second.read_bytes().startswith(first.read_bytes())


def test_too_little_text_adds_less_and_says_so(tmp_path: Path, old: Path) -> None:
    tokens, _, printed = extend(tmp_path, old)
    assert len(tokens) < len(OLD) + 100
    assert (
        "entries were added instead of 2,000: no further words or pieces that occur at least 2 times (--min-count)"
        in printed
    )
    (tmp_path / "a.text").write_text("the the the.")
    with pytest.raises(VocabularyError, match=r"must have words that .*old.txt cuts into pieces"):
        extend(tmp_path, old, held_out_fraction=0.0)
    assert not list(tmp_path.glob(".*")) + list(tmp_path.glob("*.d"))


def test_vocabularies_that_cannot_be_extended(tmp_path: Path, old: Path) -> None:
    with pytest.raises(VocabularyError, match=r"must be a vocabulary at .*nowhere.txt"):
        extend(tmp_path, tmp_path / "nowhere.txt")
    (tmp_path / "half.txt").write_bytes(old.read_bytes()[:20])
    with pytest.raises(VocabularyError, match=r"without \[UNK\], \[CLS\], \[SEP\], \[MASK\]"):
        extend(tmp_path, tmp_path / "half.txt")
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.parametrize(("kind", "size"), [("bytebpe", 300), ("unigram", 100)])
def test_a_vocabulary_of_another_kind_by_the_command(
    kind: str, size: int, tmp_path: Path, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned, output = tmp_path / "learned", tmp_path / "new"
    options = {"input": (str(tmp_path / "*.text"),), "vocab_size": size, "format": "lines", "kind": kind}
    make_vocabulary(VocabConfig(**options, output=str(learned)), show_progress=False)
    words = ["zindlethresk", "ovundraquor", "vexmarfold", "tasblim", "foldmar", "dlezin", "kthres", "drathresk"]
    (tmp_path / "b.text").write_text("\n\n".join(f"The {one} {two}." for one in words for two in words))
    command = ["vocab", "--extend", str(learned), "--add", "8", "--input", str(tmp_path / "b.text")]
    command += ["--format", "lines", "--held-out-fraction", "0.3", "--output", str(output), "--no-progress"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "8 new ones (8 behind), such as" in said
    assert "before     after" in said
    before, after = (tokenizer_of_file(str(path), path.read_bytes())[0] for path in (learned, output))
    assert list(after.tokens[: before.vocab_size]) == list(before.tokens)
    description = json.loads(Path(f"{output}.json").read_text())
    assert description["options"]["kind"] == after.describe().kind
    assert description["held_out"]["tokens_per_word"] < description["held_out"]["before"]["tokens_per_word"]


def test_a_vocabulary_without_case_needs_to_be_told(tmp_path: Path) -> None:
    (tmp_path / "a.text").write_text("\n\n".join("река река." for _ in range(30)))
    path = tmp_path / "old.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, "河", "水", "."]))
    with pytest.raises(VocabularyError, match="must be known whether text is lower-cased"):
        extend(tmp_path, path)
    tokens, description, _ = extend(tmp_path, path, lower_case=False, add=5)
    assert {"р", "##е", "##к", "##а"} <= set(tokens)
    assert description["extends"]["characters"] == 4
    assert description["options"]["lower_case"] is False
    assert make_tokenizer((tmp_path / "new.txt").read_bytes()).vocab_size == len(tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"add": 5}, "add needs a vocabulary to extend"),
        ({"extend": "old.txt", "vocab_size": 9000}, "vocab_size cannot be used with extend"),
        ({"extend": "old.txt", "kind": "bytebpe"}, "kind cannot be used with extend"),
        ({"extend": "old.txt", "special_tokens": ("[URL]",)}, "special_tokens cannot be used with extend"),
        ({"extend": "old.txt", "add": 0}, "add must be between"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VocabConfig(input=("text",), output="out.txt", **options)


def test_its_own_input_is_no_vocabulary(tmp_path: Path, old: Path) -> None:
    """A text file where the vocabulary is expected."""
    with pytest.raises(UserError, match="must contain the special tokens"):
        extend(tmp_path, tmp_path / "a.text")


def test_the_old_vocabulary_is_not_overwritten(tmp_path: Path, old: Path) -> None:
    for named in (old, tmp_path / "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / "vocab.txt").write_bytes(old.read_bytes())
        output = old if named == old else named / "vocab.txt"
        config = VocabConfig(input=("text",), output=str(output), extend=str(named), lower_case=True)
        with pytest.raises(ConfigError, match="output must be another file"):
            read_base(config)
