"""Models that start from others with a vocabulary that was extended, or whose table is padded."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cli import main
from pipeline.errors import InputError
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors

LETTERS = [mark + chr(code) for code in range(97, 123) for mark in ("", "##")]
OLD = [*SPECIAL_TOKENS, "[unused0]", "[unused1]", "[unused2]", ".", "the", "sea", "is", "wide", *LETTERS]
KINDS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact", "next_sentence": False},
    "albert": {"type": "albert", "embedding_size": 8},
    "modernbert": {"type": "modernbert", "next_sentence": False},
}


def make_model(make_trained: Any, kind: str = "bert", *, rows: int = len(OLD)) -> Any:
    options = {"vocab_size": rows, **KINDS[kind]}
    data = "".join(f"{token}\n" for token in OLD).encode()
    return dataclasses.replace(
        make_trained(**options), vocabulary=data, tokenizer=make_tokenizer(data, lower_case=True)
    )


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old vocabulary, one that extends it, and a corpus of each, by the commands."""
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "old.txt").write_text("".join(f"{token}\n" for token in OLD))
    draw = random.Random(3)
    words = ["quorvex", "blimtas", "zindle", "marfold", "thresk", "sea", "wide"]
    sentences = ["The sea is wide.", *(f"The {draw.choice(words)} is {draw.choice(words)}." for _ in range(9))]
    documents = ["\n".join(draw.sample(sentences, 5)) for _ in range(60)]
    (folder / "text.txt").write_text("\n\n".join(documents))
    reads = ["--input", str(folder / "text.txt"), "--format", "lines", "--no-progress"]
    extend = ["--extend", str(folder / "old.txt"), "--add", "5", "--output", str(folder / "new.txt")]
    assert main(["vocab", *reads, *extend, "--lower-case"]) == 0
    for name in ("old", "new"):
        make = ["--vocab", str(folder / f"{name}.txt"), "--output", str(folder / name), "--max-seq-length", "24"]
        make += ["--validation-fraction", "0.2", "--lower-case"]
        assert main(["corpus", *reads, *make]) == 0
    return folder


def start(corpus: Path, source: str, run: Path) -> int:
    """A run of a step of no length, which leaves the model as it started."""
    options = {
        "task": {"train_data": {"global_batch_size": 8}, "validation_data": {"global_batch_size": 8}},
        "trainer": {
            "train_steps": 1,
            "optimizer": {"learning_rate": 0.0, "warmup_steps": 0},
            "example": "the sea is [MASK].",
        },
    }
    config = run.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(options))
    command = ["pretrain", "--corpus", str(corpus), "--config", str(config), "--no-progress"]
    return main([*command, "--init-from", source, "--run", str(run)])


def logits(trained: Any, texts: list[str]) -> np.ndarray:
    """The logits at every token of texts, `[tokens, vocab_size]`."""
    found = []
    for text in texts:
        ids = [2, *trained.tokenizer.encode([text])[0].tolist(), 3]
        batch = {
            "input_word_ids": np.array([ids], np.int32),
            "input_mask": np.ones((1, len(ids)), np.int32),
            "input_type_ids": np.zeros((1, len(ids)), np.int32),
            "masked_lm_positions": np.arange(len(ids), dtype=np.int32)[None],
        }
        found.append(np.asarray(trained.model(batch, training=False)["mlm_logits"])[0])
    return np.concatenate(found)


def log_softmax(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return values - np.log(np.exp(values - values.max(1, keepdims=True)).sum(1, keepdims=True)) - values.max(1)[:, None]


def check_extended(old: Any, new: Any) -> None:
    """Old rows and what they predict are as before; new rows are the mean of those of their old pieces."""
    kept = [index for index, token in enumerate(OLD) if new.tokenizer.tokens[index] == token]
    grown = [index for index in range(new.tokenizer.vocab_size) if index not in kept]
    assert len(grown) == 5
    assert new.tokenizer.vocab_size == len(OLD) + 2
    texts = ["the sea is wide.", "is the abc sea wide"]
    assert [old.tokenizer.encode([t])[0].tolist() for t in texts] == [
        new.tokenizer.encode([t])[0].tolist() for t in texts
    ]
    before, after = logits(old, texts)[:, kept], logits(new, texts)[:, kept]
    assert np.abs(before).max() > 0.1
    np.testing.assert_allclose(log_softmax(after), log_softmax(before), atol=1e-5)
    for rows in ("embedding_table", "bias"):
        theirs, ours = (np.asarray(getattr(each.model.masked_lm, rows)) for each in (old, new))
        np.testing.assert_array_equal(ours[kept], theirs[kept])
        for index in grown:
            token = new.tokenizer.tokens[index]
            pieces = old.tokenizer.encode([token.removeprefix("##")])[0].tolist()
            if token.startswith("##"):
                first = OLD.index(f"##{token[2]}")
                pieces = [first, *pieces[1:]] if OLD[pieces[0]] == token[2] else pieces
            assert len(pieces) > 1
            np.testing.assert_allclose(ours[index], theirs[pieces].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "kind", ["bert", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "bert")]
)
def test_a_folder_of_hugging_face_goes_on_with_an_extended_vocabulary(
    kind: str, corpora: Path, make_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(tmp_path / "source")
    architecture = {"architecture": kind} if kind == "roberta" else {}
    export_huggingface(make_model(make_trained, kind), source, **architecture)
    assert start(corpora / "new", source, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert f"the rows of {len(OLD) - 3} tokens kept, those of 5 new ones (3 of them in unused places) set to" in said
    check_extended(load_trained(source), load_trained(str(tmp_path / "run")))


@pytest.mark.slow
def test_a_run_and_its_export_go_on(corpora: Path, make_trained: Any, tmp_path: Path) -> None:
    source, first, second = (str(tmp_path / name) for name in ("source", "first", "second"))
    export_huggingface(make_model(make_trained), source)
    assert start(corpora / "old", source, Path(first)) == 0
    assert start(corpora / "new", first, Path(second)) == 0
    check_extended(load_trained(first), load_trained(second))
    assert main(["export", "--run", second, "--output", str(tmp_path / "out")]) == 0
    check_extended(load_trained(first), load_trained(str(tmp_path / "out")))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == len(OLD) + 2


def test_a_checkpoint_of_google_research_goes_on(
    corpora: Path, make_trained: Any, write_google_checkpoint: Any, tmp_path: Path
) -> None:
    source = tmp_path / "google"
    source.mkdir()
    model = make_model(make_trained)
    export_huggingface(model, str(tmp_path / "folder"))
    written = json.loads((tmp_path / "folder" / "config.json").read_text())
    (source / "bert_config.json").write_text(json.dumps(written | {"hidden_act": "gelu"}))
    write_google_checkpoint(str(source / "bert_model.ckpt"), model.model)
    (source / "vocab.txt").write_bytes(model.vocabulary)
    (source / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    assert start(corpora / "new", str(source / "bert_model.ckpt"), tmp_path / "run") == 0
    check_extended(model, load_trained(str(tmp_path / "run")))


def test_another_vocabulary_is_refused_with_its_first_differences(
    corpora: Path, make_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(tmp_path / "source")
    export_huggingface(make_model(make_trained), source)
    assert start(corpora / "new", source, tmp_path / "first") == 0
    capsys.readouterr()
    # A corpus of the old vocabulary lacks entries of the extended one.
    assert start(corpora / "old", str(tmp_path / "first"), tmp_path / "second") == 2
    said = capsys.readouterr().err
    assert "must be that of" in said
    assert "5 different entries, such as '[unused0]' instead of" in said
    assert not (tmp_path / "second").exists()


def padded(folder: Path, rows: int) -> None:
    """Pads the table and the bias of a folder."""
    path = str(folder / "model.safetensors")
    weights = dict(read_safetensors(path))
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        more = [(0, rows)] + [(0, 0)] * (weights[name].ndim - 1)
        weights[name] = np.pad(weights[name], more, constant_values=7.0)
    write_safetensors(path, weights, {})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + rows}))


@pytest.mark.slow
def test_a_padded_table_is_cut_to_its_vocabulary(
    corpora: Path, make_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    model = make_model(make_trained)
    export_huggingface(model, str(source))
    padded(source, 63)
    assert start(corpora / "old", str(source), tmp_path / "same") == 0
    assert "63 rows of padding behind its vocabulary left out" in capsys.readouterr().out
    texts = ["the sea is wide."]
    for path in (source, tmp_path / "same"):
        np.testing.assert_allclose(logits(load_trained(str(path)), texts), logits(model, texts), atol=1e-5)
    assert start(corpora / "new", str(source), tmp_path / "extended") == 0
    assert "63 rows of padding behind its vocabulary left out; the rows of" in capsys.readouterr().out
    check_extended(model, load_trained(str(tmp_path / "extended")))
    assert main(["predict", "--run", str(source), "the [MASK] is wide."]) == 0
    assert main(["export", "--run", str(source), "--output", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == len(OLD)


def test_a_vocabulary_that_was_cut_short_is_refused(corpora: Path, make_trained: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    export_huggingface(make_model(make_trained), str(source))
    padded(source, 1024)
    with pytest.raises(
        InputError, match=r"for each of the model's 1,089 rows, except for .* padding.* Received: 65 entries"
    ):
        load_trained(str(source))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"vocab_size": len(OLD) - 1}))
    with pytest.raises(InputError, match=r"for each of the model's 64 rows"):
        load_trained(str(source))
