"""What training starts from: found, checked against corpus and configuration, and set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cli import main
from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.manifest import read_manifest
from pipeline.tokenizers import make_tokenizer
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS
from pipeline.training.configs import ExperimentConfig
from pipeline.training.exchange.families.albert import Albert
from pipeline.training.exchange.families.bert import Bert
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.hf_import import read_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.start import check_start, fill_in_model, read_source, start_from
from pipeline.training.exchange.vocabularies import check_vocabulary
from pipeline.training.exchange.weights import read_weights
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask


@pytest.fixture(scope="module")
def exported(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_huggingface(trained, str(folder))
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported folder, to change."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def rewrite(folder: Path, rename: Any) -> None:
    """Writes the folder's weights anew under other names; None drops one."""
    path = str(folder / "model.safetensors")
    weights = {rename(name): value for name, value in read_safetensors(path).items()}
    weights.pop(None, None)
    write_safetensors(path, weights, {})


def one_step() -> dict[str, Any]:
    """Options of a run that makes a step of no length."""
    return {
        "task": {
            "train_data": {"global_batch_size": 16, "shuffle_buffer_size": 32},
            "validation_data": {"global_batch_size": 16},
        },
        "trainer": {"train_steps": 1, "optimizer": {"learning_rate": 0.0, "warmup_steps": 0}, "example": "w01 [MASK]"},
    }


def test_options_leave_the_model_to_the_source(exported: Path, trained: Any) -> None:
    values = {
        "trainer": {"train_steps": 9, "optimizer": {"warmup_steps": 1}},
        "task": {"model": {"encoder": {"dropout_rate": 0.3}}, "scale_loss": True},
    }
    config = from_dict(ExperimentConfig, fill_in_model(values, str(exported)))
    expected = dataclasses.replace(trained.config.encoder, dropout_rate=0.3, vocab_size=None)  # The corpus says it.
    assert config.task.model.encoder == expected
    assert config.task.model.cls_heads == trained.config.cls_heads
    assert config.task.scale_loss
    assert config.task.init_checkpoint == str(exported)
    assert config.trainer.train_steps == 9
    nested = {"task": {"model": {"encoder": {"bert": {"num_hidden_layers": 3}}}}}
    assert from_dict(ExperimentConfig, fill_in_model(nested, str(exported))).task.model.encoder.num_layers == 3
    without_head = fill_in_model({"task": {"model": {"cls_heads": []}}}, str(exported))
    assert from_dict(ExperimentConfig, without_head).task.model.cls_heads == ()


def test_a_model_that_differs_is_refused(exported: Path, trained: Any, tiny_corpus: Any) -> None:
    directory = str(tiny_corpus.directory)
    tokenizer, source = read_manifest(directory).tokenizer, read_huggingface(str(exported))
    free = dataclasses.replace(trained.config.encoder, vocab_size=None, dropout_rate=0.0, embedding_size=16)
    check_start(dataclasses.replace(trained.config, encoder=free, cls_heads=()), tokenizer, source, directory)
    other = dataclasses.replace(trained.config.encoder, num_layers=3, hidden_activation="relu")
    with pytest.raises(ConfigError, match=r"num_layers 3 instead of 2; hidden_activation 'relu' instead of 'gelu'"):
        check_start(dataclasses.replace(trained.config, encoder=other), tokenizer, source, directory)
    with pytest.raises(ConfigError, match="mlm_activation 'relu' instead of 'gelu'"):
        check_start(dataclasses.replace(trained.config, mlm_activation="relu"), tokenizer, source, directory)


def test_a_vocabulary_that_differs_is_refused(copy: Path, trained: Any, tiny_corpus: Any, capsys: Any) -> None:
    directory = str(tiny_corpus.directory)
    tokenizer = read_manifest(directory).tokenizer
    (copy / "vocab.txt").write_bytes(trained.vocabulary.replace(b"w07", b"w99"))
    with pytest.raises(CorpusError, match="1 different entries, such as 'w07' instead of 'w99'"):
        check_start(trained.config, tokenizer, read_source(str(copy)), directory)
    (copy / "vocab.txt").write_bytes(trained.vocabulary)
    (copy / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    with pytest.raises(CorpusError, match="lower_case True instead of False"):
        check_start(trained.config, tokenizer, read_source(str(copy)), directory)
    (copy / "vocab.txt").unlink()
    with pytest.raises(CorpusError, match="lower_case True instead of False"):  # tokenizer.json holds it, too.
        check_start(trained.config, tokenizer, read_source(str(copy)), directory)
    (copy / "tokenizer.json").unlink()
    check_start(trained.config, tokenizer, read_source(str(copy)), directory)
    assert "has no readable vocabulary: only its size was compared" in capsys.readouterr().out
    with pytest.raises(CorpusError, match=r"must have 50 entries.* Received: 51"):
        check_start(trained.config, dataclasses.replace(tokenizer, vocab_size=51), read_source(str(copy)), directory)


@pytest.mark.parametrize("lower_case", [False, True])
def test_a_vocabulary_that_shows_no_case_fits_either(tmp_path: Path, lower_case: bool) -> None:
    data = "\n".join([*SPECIAL_TOKENS, "河", "水"]).encode()
    (tmp_path / "vocab.txt").write_bytes(data)
    description = make_tokenizer(data, lower_case=lower_case).describe()
    check_vocabulary(description, str(tmp_path), make_tokenizer(data), owner="a model")
    if lower_case:
        with pytest.raises(CorpusError, match="lower_case True instead of False"):
            check_vocabulary(description, str(tmp_path), make_tokenizer(data, lower_case=False), owner="a model")


def test_names_of_old_are_read(copy: Path, trained: Any) -> None:
    """BertModel's files have no "bert.", older files TensorFlow's names of layer norms and a decoder of its own."""

    def old(name: str) -> str | None:
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return name.replace("cls.predictions.bias", "cls.predictions.decoder.bias")

    rewrite(copy, old)
    source = read_source(str(copy))
    expected = read_weights(Bert(), trained.model)
    assert set(source.weights) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(source.weights[name], value)

    rewrite(copy, lambda name: name.removeprefix("bert.") if name.startswith("bert.") else None)
    source = read_source(str(copy))
    assert source.config.cls_heads == ()
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    said = start_from(model, source).description
    assert "random at first: cls.predictions.bias, cls.predictions.transform.LayerNorm.bias" in said
    weights = read_weights(Bert(), model)
    name = "bert.encoder.layer.1.output.dense.weight"
    np.testing.assert_array_equal(weights[name], expected[name])


def test_an_albert_starts_from_an_albert(make_trained: Any, batch: Any) -> None:
    """The embeddings' projection, which BERT has not, is taken along."""
    first = make_trained(type="albert", embedding_size=8)
    source = SourceModel("x", first.config, lambda: read_weights(Albert(), first.model))
    second = make_trained(type="albert", embedding_size=8, initializer_range=0.5).model
    start_from(second, source)
    expected, found = (model(batch, training=False) for model in (first.model, second))
    np.testing.assert_array_equal(found["mlm_logits"], expected["mlm_logits"])


def test_incomplete_weights_are_refused(copy: Path, trained: Any) -> None:
    missing = "bert.encoder.layer.1.output.dense.bias"
    rewrite(copy, lambda name: None if name == missing else name)
    with pytest.raises(InputError, match=f"is incomplete. Received: no {missing}"):
        start_from(trained.model, read_source(str(copy)))


def test_a_decoder_of_its_own_is_refused(copy: Path) -> None:
    path = str(copy / "model.safetensors")
    weights = read_safetensors(path)
    table = weights["bert.embeddings.word_embeddings.weight"]
    write_safetensors(path, {**weights, "cls.predictions.decoder.weight": table}, {})
    assert "cls.predictions.decoder.weight" not in read_source(str(copy)).weights
    write_safetensors(path, {**weights, "cls.predictions.decoder.weight": table + 1}, {})
    with pytest.raises(InputError, match="must share the word embeddings"):
        _ = read_source(str(copy)).weights


def test_weights_in_several_files(copy: Path) -> None:
    path = copy / "model.safetensors"
    weights = read_safetensors(str(path))
    names = sorted(weights)
    for number, part in ((1, names[::2]), (2, names[1::2])):
        write_safetensors(str(copy / f"model-0000{number}-of-00002.safetensors"), {n: weights[n] for n in part}, {})
    path.unlink()
    files = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    assert set(read_source(str(copy)).weights) == set(names)


def test_a_vocabulary_with_other_ids_is_refused(copy: Path) -> None:
    """XLM-RoBERTa's SentencePiece model counts from another number than the model."""
    (copy / "sentencepiece.bpe.model").write_bytes(b"model")
    assert read_source(str(copy)).vocabulary is not None
    (copy / "vocab.txt").unlink()
    assert read_source(str(copy)).vocabulary is not None
    (copy / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"No tokenizer.json in.* AutoTokenizer.from_pretrained\(folder\)"):
        read_source(str(copy))


@pytest.mark.slow
def test_a_run_is_written_as_what_it_started_from(
    make_trained: Any, tiny_corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RoBERTa, although the encoder's type is bert; also by a run that starts from the run."""
    roberta = {"hidden_activation": "gelu_exact", "mlm_activation": "gelu_exact", "next_sentence": False}
    trained, first = make_trained(**roberta), str(tmp_path / "roberta")
    export_huggingface(trained, first, architecture="roberta")
    for name, start in (("one", first), ("two", str(tmp_path / "one"))):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump(one_step()))
        command = ["pretrain", "--corpus", str(tiny_corpus.directory), "--config", str(config), "--no-progress"]
        assert main([*command, "--init-from", start, "--run", str(tmp_path / name)]) == 0
        assert "export --format huggingface will refuse" not in capsys.readouterr().out
    assert main(["export", "--run", str(tmp_path / "two"), "--output", str(tmp_path / "out")]) == 0
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "roberta" / name).read_bytes()
    again = ["export", "--run", str(tmp_path / "two"), "--output", str(tmp_path / "bert"), "--architecture", "bert"]
    assert main(again) == 0
    assert json.loads((tmp_path / "bert/config.json").read_text())["architectures"] == ["BertForMaskedLM"]


def test_pickles_and_nothing_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"No model.safetensors in .*Received: pytorch_model.bin. Pickles"):
        read_source(str(copy))
    with pytest.raises(InputError, match="no such file"):
        read_source(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the directory contains nothing"):
        read_source(str(tmp_path / "empty"))
    (copy / "config.json").write_text("[1")
    with pytest.raises(InputError, match="is not valid JSON"):
        read_source(str(copy))


def test_half_written_folders_are_refused(copy: Path) -> None:
    index, weights = copy / "model.safetensors.index.json", copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model.safetensors is not a valid safetensors file.* Copy it again"):
        read_source(str(copy))
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": weights.name}}))
    with pytest.raises(InputError, match=r"lacks some of the 2 weight files .* Received: no model-1.safetensors"):
        read_source(str(copy))
    for map_ in (None, {}, ["a"], {"a": 1}):
        index.write_text(json.dumps({"weight_map": map_}))
        with pytest.raises(InputError, match="has no valid weight_map from weights to files"):
            read_source(str(copy))


@pytest.mark.parametrize("damage", [{"added_tokens": [{"id": 1}]}, {"added_tokens": ["[MASK]"]}, {"vocab": {"a": "0"}}])
def test_a_tokenizer_without_numbers_is_refused(copy: Path, damage: dict[str, Any]) -> None:
    path = copy / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"] |= {name: value for name, value in damage.items() if name == "vocab"}
    path.write_text(json.dumps({**values, **damage}))
    (copy / "vocab.txt").unlink()
    with pytest.raises(InputError, match="must run from 0 without gaps"):
        read_source(str(copy))


def test_pre_training_goes_on_from_an_export(
    exported: Path, trained: Any, tiny_corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step of no length leaves the model as it started."""
    options = one_step()
    config, run = tmp_path / "config.yaml", str(tmp_path / "run")
    config.write_text(yaml.safe_dump(options))
    command = ["pretrain", "--corpus", str(tiny_corpus.directory), "--config", str(config), "--no-progress"]
    command += ["--init-from", str(exported), "--run", run]
    assert main([*command, "--params-override", "task.model.encoder.num_layers=1"]) == 2
    assert "num_layers 1 instead of 2" in capsys.readouterr().err
    assert main(command) == 0
    assert f"starting from {exported}" in capsys.readouterr().out
    source = read_source(run)
    assert source.config == trained.config.with_head()
    assert source.vocabulary == trained.vocabulary
    for name, value in read_weights(Bert(), trained.model).items():
        np.testing.assert_array_equal(source.weights[name], value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_before_anything_starts(
    copy: Path, tiny_corpus: Any, tmp_path: Path, capsys: Any, value: float
) -> None:
    path = str(copy / "model.safetensors")
    weights = {name: np.array(weight) for name, weight in read_safetensors(path).items()}
    name = "bert.encoder.layer.1.output.dense.bias"
    weights[name][3] = value
    write_safetensors(path, weights, {})
    run = tmp_path / "run"
    arguments = ["pretrain", "--corpus", str(tiny_corpus.directory), "--run", str(run), "--init-from", str(copy)]
    code = main([*arguments, "--params-override", "trainer.train_steps=2", "trainer.optimizer.warmup_steps=1"])
    assert code == 2
    assert f"NaN or infinite ones in {name}." in capsys.readouterr().err
    assert not run.exists()
    with pytest.raises(InputError, match="must be finite numbers"):
        load_trained(str(copy))
