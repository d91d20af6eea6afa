"""Export, and import of the same: files, numbers, refusals. tests/training/exchange/test_transformers.py has the proof
by transformers itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError, OutputError
from pipeline.training.exchange import hf_export
from pipeline.training.exchange.hf_export import TOLERANCE, export_huggingface, verify
from pipeline.training.exchange.hf_import import read_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors
from pipeline.training.exchange.start import start_from
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask


def test_files_and_configuration(trained: Any, tmp_path: Path) -> None:
    differences = export_huggingface(trained, str(tmp_path / "out"))
    assert differences["numpy"] < TOLERANCE / 10
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    config = json.loads((folder / "config.json").read_text())
    expected = {"architectures": ["BertForPreTraining"], "hidden_act": "gelu_new", "num_hidden_layers": 2}
    assert expected.items() <= config.items()
    assert (folder / "vocab.txt").read_bytes() == trained.vocabulary
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    assert tokenizer["model"]["vocab"]["w44"] == 49
    assert json.loads((folder / "tokenizer_config.json").read_text())["do_lower_case"] is True


@pytest.mark.parametrize("options", [{}, {"next_sentence": False}, {"hidden_activation": "relu"}])
def test_what_is_exported_and_imported_is_the_same_model(
    make_trained: Any, batch: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Bit for bit, into a model that is built from the folder alone."""
    activation = options.get("hidden_activation", "gelu")
    trained = make_trained(mlm_activation=activation, **options)
    export_huggingface(trained, str(tmp_path / "out"))
    source = read_huggingface(str(tmp_path / "out"))
    assert source.config.encoder == trained.config.encoder
    assert source.config.mlm_activation == activation
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    assert start_from(model, source) == f"starting from {tmp_path}/out"
    ours, theirs = (m(batch, training=False) for m in (trained.model, model))
    names = {"mlm_logits", *(["next_sentence"] if options.get("next_sentence", True) else [])}
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name])
    again = tmp_path / "again"
    rebuilt = type(trained)(model, source.config, trained.tokenizer, trained.vocabulary)
    export_huggingface(rebuilt, str(again))
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()


def test_the_pooler_goes_to_the_encoder_too(trained: Any, tmp_path: Path) -> None:
    """Fine-tuning then begins with the pooler that next-sentence prediction trained."""
    export_huggingface(trained, str(tmp_path / "out"))
    source = read_huggingface(str(tmp_path / "out"))
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    start_from(model, source)
    np.testing.assert_array_equal(
        np.asarray(model.encoder_network.pooler_layer.kernel),
        np.asarray(trained.model.classification_heads[0].dense.kernel),
    )


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.position_embeddings.weight",
        "bert.encoder.layer.1.attention.self.key.weight",
        "bert.encoder.layer.0.output.LayerNorm.bias",
        "cls.predictions.bias",
        "cls.seq_relationship.weight",
    ],
)
def test_a_weight_that_differs_is_found(trained: Any, tmp_path: Path, name: str) -> None:
    folder = str(tmp_path / "out")
    export_huggingface(trained, folder)
    weights = read_safetensors(f"{folder}/model.safetensors")
    changed = weights[name].copy()
    changed.flat[-1] += 0.05
    write_safetensors(f"{folder}/model.safetensors", {**weights, name: changed}, {})
    with pytest.raises(OutputError, match="must agree with the trained model's"):
        verify(folder, trained.model)


def test_an_export_that_is_wrong_leaves_nothing(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(model: Any) -> dict[str, np.ndarray]:
        weights = read_weights(model)
        return {**weights, "cls.predictions.bias": np.full_like(weights["cls.predictions.bias"], np.nan)}

    read_weights = hf_export.read_weights
    monkeypatch.setattr(hf_export, "read_weights", damaged)
    with pytest.raises(OutputError, match="a difference of nan"):
        export_huggingface(trained, str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="must not be there yet"):
        export_huggingface(trained, str(tmp_path))
    with pytest.raises(OutputError, match="must not be there yet"):
        export_huggingface(trained, str(tmp_path / "thesis.txt"))
    with pytest.raises(ConfigError, match="local directory"):
        export_huggingface(trained, "gs://bucket/model")
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_python_without_transformers_is_told_of(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"No module named 'torch'.* has transformers and torch"):
        export_huggingface(trained, str(tmp_path / "out"), python=sys.executable)
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_is_found_in_tokenizer_json(trained: Any, tmp_path: Path) -> None:
    """All that newer versions of transformers write: no vocab.txt."""
    folder = tmp_path / "out"
    export_huggingface(trained, str(folder))
    (folder / "vocab.txt").unlink()
    source = read_huggingface(str(folder))
    assert source.vocabulary == trained.vocabulary
    assert source.lower_case is True
    assert load_trained(str(folder)).tokenizer.tokens == trained.tokenizer.tokens
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    del tokenizer["model"]["vocab"]["w44"]
    tokenizer["model"]["vocab"]["w43"] = 60
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="must number its tokens from 0 without a gap"):
        read_huggingface(str(folder))


def test_an_interpreter_that_is_not_there_is_told(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--verify-with must name a Python interpreter. Received: no-such-python"):
        export_huggingface(trained, str(tmp_path / "out"), python="no-such-python")
    assert not list(tmp_path.iterdir())
