from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.inspection.inspect import show_examples
from pipeline.records.spec import RecordSpec, encode_tfrecords

Make = Callable[..., Path]

# [PAD] [UNK] [CLS] [SEP] [MASK] the fox ##es run ##s old
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fox", "##es", "run", "##s", "old"]
EXAMPLE = {
    # the fox ##es run | the old fox ##es: "fox" masked, "run" left, "old" random.
    "input_word_ids": [2, 5, 4, 7, 8, 3, 5, 9, 6, 7, 3, 0],
    "input_mask": [1] * 11 + [0],
    "input_type_ids": [0] * 6 + [1] * 5 + [0],
    "masked_lm_positions": [2, 4, 7, 0],
    "masked_lm_ids": [6, 8, 10, 0],
    "masked_lm_weights": [1.0, 1.0, 1.0, 0.0],
    "next_sentence_labels": [1],
}


def write(path: Path, names: str = "v2") -> None:
    columns = {name: np.array([values, values]) for name, values in EXAMPLE.items()}
    path.write_bytes(encode_tfrecords(RecordSpec(12, 4, feature_names=names), columns)[0].tobytes())


@pytest.fixture
def vocab(tmp_path: Path) -> str:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(VOCABULARY))
    return str(path)


@pytest.mark.parametrize("names", ["v1", "v2"])
def test_masks_are_marked(tmp_path: Path, vocab: str, names: str) -> None:
    write(tmp_path / "shard.tfrecord", names)
    first, second = show_examples(str(tmp_path / "shard.tfrecord"), vocab=vocab)
    assert first == (
        "0: 11 of 12 tokens, label 1, 3 predictions\n"
        "  A: [CLS] the [MASK:fox] ##es run(kept) [SEP]\n"
        "  B: the old->##s foxes [SEP]\n"
        "  predictions: 2:[MASK:fox] 4:run(kept) 7:old->##s"
    )
    assert second == first.replace("0:", "1:", 1)


def test_colours(tmp_path: Path, vocab: str) -> None:
    write(tmp_path / "shard.tfrecord")
    [text] = show_examples(str(tmp_path / "shard.tfrecord"), vocab=vocab, examples=1, color=True)
    for marked in ("\x1b[33m[MASK:fox]\x1b[0m", "\x1b[31mold->##s\x1b[0m", "\x1b[32mrun(kept)\x1b[0m"):
        assert marked in text


def test_sequences_of_a_packed_row_are_shown_one_by_one(tmp_path: Path, vocab: str) -> None:
    row = {
        "input_word_ids": [2, 5, 4, 3, 7, 3, 2, 9, 3, 10, 3, 0],
        "input_mask": [1] * 11 + [0],
        "input_type_ids": [0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0],
        "input_sequence_ids": [1] * 6 + [2] * 5 + [0],
        "masked_lm_positions": [2, 7, 0],
        "masked_lm_ids": [6, 8, 0],
        "masked_lm_weights": [1.0, 1.0, 0.0],
        "next_sentence_positions": [0, 6, 0],
        "next_sentence_labels": [0, 1, 0],
        "next_sentence_weights": [1.0, 1.0, 0.0],
    }
    columns = {name: np.array([values]) for name, values in row.items()}
    spec = RecordSpec(12, 3, max_sequences_per_row=3)
    path = tmp_path / "rows.tfrecord"
    path.write_bytes(encode_tfrecords(spec, columns)[0].tobytes())
    # What the file is packed with is told by its records.
    assert list(show_examples(str(path), vocab=vocab)) == [
        "0: 11 of 12 tokens, 2 sequences, 2 predictions\n"
        "  sequence 1: 6 tokens, label 0\n"
        "  A: [CLS] the [MASK:fox] [SEP]\n"
        "  B: ##es [SEP]\n"
        "  sequence 2: 5 tokens, label 1\n"
        "  A: [CLS] run->##s [SEP]\n"
        "  B: old [SEP]\n"
        "  predictions: 2:[MASK:fox] 7:run->##s"
    ]


def undone(text: str) -> str:
    """An example's text with its marks taken away."""
    text = re.sub(r"\[MASK:([^]]*)\]", r"\1", text.split("  predictions:")[0])
    text = re.sub(r"(\S+)->\S+", r"\1", text).replace("(kept)", "")
    return re.sub(r"\s+", " ", text).replace(" ##", "")


KINDS = {
    "static": {},
    "packed": {"pairing": "full-sentences", "masking_unit": "span", "compression": "gzip"},
    "dynamic": {"masking": "dynamic"},
    "bins": {"pairing": "sentence-order", "masking_unit": "ngram", "bins": (24, 40, 64)},
    "rows": {"packing": "best-fit", "pairing": "doc-sentences"},
    "rows of pairs": {"packing": "best-fit", "max_seq_length": 128},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_a_corpus_is_there_to_read(make: Make, long_text: str, kind: str) -> None:
    directory = make(**KINDS[kind])
    name = next(path.name for path in sorted(directory.iterdir()) if path.name.startswith("train"))
    plain = re.sub(r"([.,])", r" \1", long_text.lower())
    plain = " " + re.sub(r"\s+", " ", plain) + " "
    shown = list(show_examples(str(directory / name), start=3, examples=5))
    assert [text.split(":")[0] for text in shown] == ["3", "4", "5", "6", "7"]
    for text in shown:
        for segment in re.split(r"\[SEP\]|sequence \d+: [^[]*|  [AB]: (?:\[CLS\])?", undone(text))[1:]:
            # The first and the last word may be cut.
            inner = " ".join(segment.split()[1:-1])
            assert f" {inner} " in plain
    assert ("no mask" in shown[0]) == (kind == "dynamic")
    meanings = {"static": "B (follows A|is random)", "dynamic": "B (follows A|is random)", "bins": "in order|swapped"}
    assert re.search(meanings.get(kind, "predictions"), shown[0])


def test_errors_say_what_to_do(make: Make, tmp_path: Path, vocab: str) -> None:
    directory = make()
    shard = next(path for path in sorted(directory.iterdir()) if path.name.startswith("train"))
    lone = tmp_path / "lone.tfrecord"
    shutil.copy(shard, lone)
    with pytest.raises(ConfigError, match="--vocab"):
        list(show_examples(str(lone)))
    with pytest.raises(CorpusError, match="a vocabulary of 11"):
        list(show_examples(str(lone), vocab=vocab))
    with pytest.raises(InputError, match="must be a shard"):
        list(show_examples(str(tmp_path / "nothing")))
    with pytest.raises(ConfigError, match=r"has no record 1,000,000. Received: a shard of [\d,]+ examples"):
        list(show_examples(str(shard), start=1_000_000))
    with pytest.raises(ConfigError, match="at least"):
        list(show_examples(str(shard), examples=0))
    lone.write_text("text")
    with pytest.raises(CorpusError, match="TFRecord"):
        list(show_examples(str(lone), vocab=vocab))


def test_the_command(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    directory = make()
    shard = next(path for path in sorted(directory.iterdir()) if path.name.startswith("train"))
    assert main(["inspect", str(shard), "--examples", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("predictions:") == 2
    assert "\x1b" not in out
    assert "[MASK:word]" in out.splitlines()[-1]
