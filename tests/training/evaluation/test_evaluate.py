from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.config.tree import apply_overrides
from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.records.spec import RecordSpec
from pipeline.tokenizers import WordPieceTokenizer
from pipeline.training.configs import DataConfig
from pipeline.training.evaluation.evaluate import _Counts, evaluate_corpus, evaluate_text
from pipeline.training.evaluation.predict import predict
from pipeline.training.evaluation.tables import format_evaluation
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.trained_model import load_run
from pipeline.training.loop.validation import build_evaluator
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask
from pipeline.training.report import format_results
from pipeline.training.run import pretrain


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_corpus: Any) -> Any:
    return write_corpus(tmp_path_factory.mktemp("evaluate") / "corpus", train=(3,), validation=(21, 12))


@pytest.fixture(scope="module")
def evaluation(trained: Any, corpus: Any) -> dict[str, Any]:
    directory = str(corpus.directory)
    return evaluate_corpus(trained, directory, batch_size=8, pseudo_tokens=30, show_progress=False)


def test_totals_are_those_of_training(trained: Any, corpus: Any, evaluation: dict[str, Any]) -> None:
    task = MaskedLMTask(MaskedLMConfig(model=trained.config))
    data = DataConfig(input_path=str(corpus.directory), global_batch_size=16, is_training=False)
    expected = build_evaluator(
        task, trained.model, task.build_inputs(data), trained.tokenizer.special_ids["mask"]
    )().means
    assert evaluation["examples"] == 33
    assert evaluation["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    every = evaluation["masked_lm"]["all"]
    assert every["loss"] == pytest.approx(expected["lm_example_loss"], rel=1e-5)
    assert every["accuracy"] == pytest.approx(expected["masked_lm_accuracy"])
    assert every["perplexity"] == pytest.approx(np.exp(every["loss"]))
    sentence = evaluation["next_sentence"]
    assert sentence["loss"] == pytest.approx(expected["next_sentence_loss"], rel=1e-5)
    assert sentence["accuracy"] == pytest.approx(expected["next_sentence_accuracy"])


def test_kinds_by_hand(trained: Any, tmp_path: Path, write_corpus: Any) -> None:
    """A corpus whose predictions are masked, replaced and kept in turn, scored by the model's own logits."""
    corpus = write_corpus(tmp_path / "corpus", train=(3,), validation=(9,), kinds=True)
    found = evaluate_corpus(trained, str(corpus.directory), pseudo_tokens=0, show_progress=False)
    columns = corpus.split("validation")
    names = ("input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions")
    outputs = trained.model({name: columns[name].astype(np.int32) for name in names}, training=False)
    logits = np.asarray(outputs["mlm_logits"], np.float64)
    sums = {kind: np.zeros(4) for kind in ("masked", "random", "kept")}
    for row, column in np.argwhere(columns["masked_lm_weights"] > 0):
        label = columns["masked_lm_ids"][row, column]
        shown = columns["input_word_ids"][row, columns["masked_lm_positions"][row, column]]
        kind = "masked" if shown == 4 else "kept" if shown == label else "random"
        scores = logits[row, column]
        loss = np.log(np.exp(scores).sum()) - scores[label]
        best = np.argsort(-scores)
        sums[kind] += [1, loss, best[0] == label, label in best[:5]]
    assert found["pseudo_perplexity"] is None
    for kind, (number, loss, right, right_at_5) in sums.items():
        values = found["masked_lm"][kind]
        assert values["predictions"] == number > 0
        assert values["loss"] == pytest.approx(loss / number, rel=1e-5)
        assert values["accuracy"] == pytest.approx(right / number)
        assert values["accuracy_at_5"] == pytest.approx(right_at_5 / number)
    assert found["masked_lm"]["all"]["predictions"] == sum(values[0] for values in sums.values())


def test_pseudo_perplexity_is_of_the_text_without_masks(
    trained: Any, corpus: Any, evaluation: dict[str, Any], tmp_path: Path
) -> None:
    """The examples' original words, as text of pairs; the first ones until there are thirty tokens."""
    found = evaluation["pseudo_perplexity"]
    columns = corpus.split("validation")
    lengths = columns["input_mask"].sum(1) - 3
    number = int(np.searchsorted(np.cumsum(lengths), 30)) + 1
    assert found["texts"] == number
    assert found["tokens"] == lengths[:number].sum()
    assert found["value"] > 1
    text = tmp_path / "text.txt"
    text.write_text("w01 w01 w02\n\n" + "w05 " * 30 + "\n")
    of_text = evaluate_text(trained, str(text))
    # 24 positions have room for 22 tokens between [CLS] and [SEP].
    assert (of_text["tokens"], of_text["texts"]) == (33, 3)
    text.write_text("w01\u2028w01 w02\r\nw05\x85w05\n", newline="")
    assert evaluate_text(trained, str(text))["texts"] == 2


def test_what_does_not_fit_is_refused(trained: Any, corpus: Any, make_trained: Any, tmp_path: Path) -> None:
    directory = str(corpus.directory)
    other = WordPieceTokenizer(trained.vocabulary.replace(b"w07", b"w99"))
    with pytest.raises(CorpusError, match="1 different entries, such as 'w07' instead of 'w99'"):
        evaluate_corpus(dataclasses.replace(trained, tokenizer=other), directory)
    with pytest.raises(CorpusError, match="longer than the model's maximum of 16 tokens"):
        evaluate_corpus(make_trained(max_position_embeddings=16), directory)
    with pytest.raises(ConfigError, match="batch size must be at least 1"):
        evaluate_corpus(trained, directory, batch_size=0)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="must contain text"):
        evaluate_text(trained, str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes(b"\xe9t\xe9")
    with pytest.raises(InputError, match="must be UTF-8"):
        evaluate_text(trained, str(tmp_path / "latin.txt"))


@pytest.mark.parametrize(
    ("made", "overrides"),
    [
        ({}, []),
        ({"bins": (16, 24)}, []),
        ({"spec": RecordSpec(24, 4, next_sentence=False)}, ["task.model.cls_heads=[]"]),
        ({}, ["task.train_data.use_next_sentence_label=false"]),
        ({}, ["task.validation_data.use_next_sentence_label=false"]),
        (
            {"spec": RecordSpec(24, 4, masked=False)},
            ["trainer.seed=7", "task.train_data.masked_lm_prob=0.2", "task.validation_data.masked_lm_prob=0.4"],
        ),
        (
            {"spec": RecordSpec(24, 4, masked=False), "bins": (16, 24)},
            ["task.validation_data.seed=3", "task.validation_data.max_predictions_per_seq=2"],
        ),
    ],
    ids=["static", "bins", "no-pairs", "no-labels", "no-labels-evaluated", "dynamic", "dynamic-bins"],
)
def test_a_run_and_evaluate_agree(
    made: dict[str, Any], overrides: list[str], write_corpus: Any, tiny_config: Any, tmp_path: Path
) -> None:
    directory, run = str(write_corpus(tmp_path / "corpus", **made).directory), str(tmp_path / "run")
    config = tiny_config(train_steps=2, optimizer={"warmup_steps": 1})
    expected = pretrain(apply_overrides(config, overrides), directory, run, show_progress=False)["validation"]
    found = evaluate_corpus(load_run(run), directory, batch_size=5, pseudo_tokens=10, show_progress=False)
    every, sentence = found["masked_lm"]["all"], found["next_sentence"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert every["loss"] == pytest.approx(expected["lm_example_loss"], rel=1e-5)
    assert every["accuracy"] == pytest.approx(expected["masked_lm_accuracy"])
    assert (sentence is None) == ("next_sentence_loss" not in expected)
    if sentence is not None:
        assert sentence["loss"] == pytest.approx(expected["next_sentence_loss"], rel=1e-5)
        assert sentence["accuracy"] == pytest.approx(expected["next_sentence_accuracy"])
    assert found["pseudo_perplexity"]["value"] > 1


def test_a_head_that_nothing_trains_is_left_out(tiny_corpus: Any, tiny_config: Any, tmp_path: Path) -> None:
    """Of the losses, the table, what is exported, and what is predicted."""
    config = apply_overrides(
        tiny_config(train_steps=2, optimizer={"warmup_steps": 1}), ["task.train_data.use_next_sentence_label=false"]
    )
    results = pretrain(config, str(tiny_corpus.directory), str(tmp_path / "run"), show_progress=False)
    assert results["validation"]["loss"] == results["validation"]["lm_example_loss"]
    assert "next-sentence" not in format_results(results)
    export_huggingface(load_run(str(tmp_path / "run")), str(tmp_path / "exported"))
    exported = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert exported["architectures"] == ["BertForMaskedLM"]
    (guesses,) = predict(str(tmp_path / "exported"), ["w01 [MASK]"], top_k=2)[0]
    assert len(guesses) == 2


def test_three_classes_of_next_sentences() -> None:
    counts = _Counts()
    counts.add_tokens(np.array([0]), np.array([1.0]), np.array([0]))
    logits = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 4.0]])
    counts.add_heads({"next_sentence_labels": np.array([[1], [0]])}, {"next_sentence": logits})
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[[0, 1], [1, 0]])
    assert counts.results()["next_sentence"] == {"loss": pytest.approx(expected), "accuracy": 0.0}


def test_a_damaged_shard_is_named(trained: Any, write_corpus: Any, tmp_path: Path, capsys: Any) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    shard = directory / "validation-00001-of-00002.tfrecord"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1  # In the last of its twelve records.
    shard.write_bytes(data)
    export_huggingface(trained, str(tmp_path / "model"))
    command = ["evaluate", "--run", str(tmp_path / "model"), "--corpus", str(directory), "--no-progress"]
    assert main(command) == 2
    shown = capsys.readouterr().err
    assert f"{shard} must be a TFRecord file. Received: a damaged record 11: the checksum of its data differs" in shown


def test_the_commands(trained: Any, corpus: Any, evaluation: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    """On a model in another project's format."""
    model = str(tmp_path / "model")
    export_huggingface(trained, model)
    (tmp_path / "text.txt").write_text("w01 w02\n")
    command = ["evaluate", "--run", model, "--corpus", str(corpus.directory), "--no-progress", "--json"]
    assert main([*command, "--pseudo-tokens", "30", "--text-file", str(tmp_path / "text.txt")]) == 0
    results = json.loads(capsys.readouterr().out)
    found = results["corpus"]
    assert found["loss"] == pytest.approx(evaluation["loss"], rel=1e-5)
    assert found["pseudo_perplexity"]["value"] == pytest.approx(evaluation["pseudo_perplexity"]["value"], rel=1e-4)
    table = format_evaluation(results)
    assert f"33 validation examples, loss {evaluation['loss']:.4f}" in table
    assert f"{evaluation['masked_lm']['masked']['predictions']:,}" in table
    assert f"the text, each token masked in turn: {results['text']['value']:.2f} (2 tokens, 1 sequences)" in table
    assert main(["predict", "--run", model, "--top-k", "2", "--json", "w01 [MASK] w03 [MASK]"]) == 0
    (predicted,) = json.loads(capsys.readouterr().out)
    assert [len(guesses) for guesses in predicted["masks"]] == [2, 2]
    assert predicted["masks"][0][0]["probability"] >= predicted["masks"][0][1]["probability"]
    assert main(["evaluate", "--run", model]) == 2
    assert "must be the directory of a pre-training run" in capsys.readouterr().err
