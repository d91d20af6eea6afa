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
from pipeline.training.exchange.families.registry import FAMILIES
from pipeline.training.exchange.hf_export import TOLERANCE, describe_folder, export_huggingface, verify
from pipeline.training.exchange.hf_import import read_huggingface
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors
from pipeline.training.exchange.start import start_from
from pipeline.training.exchange.trained_model import TrainedModel
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


ROBERTA: dict[str, Any] = {"mlm_activation": "gelu_exact", "hidden_activation": "gelu_exact", "next_sentence": False}
ROBERTA |= {"type_vocab_size": 1, "layer_norm_epsilon": 1e-5}
ALBERT: dict[str, Any] = {"type": "albert", "embedding_size": 8}
MODERNBERT: dict[str, Any] = {"type": "modernbert", "next_sentence": False, "num_layers": 4, "local_attention": 8}


def _slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        (None, {}),
        (None, {"next_sentence": False, "layer_norm_epsilon": 0.1}),
        (None, {"hidden_activation": "relu"}),
        (None, ALBERT),
        (None, {**ALBERT, "next_sentence": False, "layer_norm_epsilon": 0.1}),
        (None, {**MODERNBERT, "mlm_activation": "gelu_exact"}),
        _slow(None, {**MODERNBERT, "global_attention_every": 2, "mlp": "swiglu", "hidden_activation": "silu"}),
        _slow(None, {**MODERNBERT, "use_bias": True, "rotary_theta": 100.0}),
        _slow(None, {**MODERNBERT, "local_attention": None, "layer_norm_epsilon": 0.1}),
        ("roberta", ROBERTA),
        ("xlm-roberta", {**ROBERTA, "type_vocab_size": 3, "hidden_activation": "relu", "layer_norm_epsilon": 0.1}),
    ],
)
def test_what_is_exported_and_imported_is_the_same_model(
    make_trained: Any, batch: Any, tmp_path: Path, architecture: str | None, options: dict[str, Any]
) -> None:
    """Bit for bit, into a model that is built from the folder alone."""
    activation = options.get("mlm_activation", options.get("hidden_activation", "gelu"))
    trained = make_trained(**{"mlm_activation": activation, **options})
    differences = export_huggingface(trained, str(tmp_path / "out"), architecture=architecture)
    assert differences["numpy"] < TOLERANCE / 10
    source = read_huggingface(str(tmp_path / "out"))
    assert source.config.encoder == trained.config.encoder
    assert source.config.mlm_activation == activation
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    assert start_from(model, source).description == f"starting from {tmp_path}/out"
    ours, theirs = (m(batch, training=False) for m in (trained.model, model))
    names = {"mlm_logits", *(["next_sentence"] if options.get("next_sentence", True) else [])}
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name])
    again = tmp_path / "again"
    rebuilt = TrainedModel(
        model, source.config, trained.tokenizer, trained.vocabulary, architecture=source.architecture
    )
    export_huggingface(rebuilt, str(again))
    assert (again / "config.json").read_bytes() == (tmp_path / "out/config.json").read_bytes()
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("architecture", "options", "head"),
    [
        ("roberta", ROBERTA, "lm_head.bias, lm_head.dense"),
        ("modernbert", MODERNBERT, "decoder.bias, head.dense.weight"),
    ],
)
def test_an_encoder_alone_is_a_start(
    make_trained: Any, tmp_path: Path, architecture: str, options: dict[str, Any], head: str
) -> None:
    """As RobertaModel and ModernBertModel save themselves: without a head, and without the model's name in front."""
    trained, folder = make_trained(**options), tmp_path / "out"
    export_huggingface(trained, str(folder), architecture=architecture)
    family, path = FAMILIES[architecture], str(folder / "model.safetensors")
    weights = read_safetensors(path)
    alone = {name.removeprefix(family.prefix): weights[name] for name in weights if name.startswith(family.prefix)}
    write_safetensors(path, alone, {})
    source = read_huggingface(str(folder))
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    assert f"; random at first: {head}" in start_from(model, source).description
    with pytest.raises(InputError, match=f"has no complete masked-LM head. Received: no .*{family.mlm_head[0]}"):
        load_trained(str(folder))
    write_safetensors(path, dict(list(alone.items())[1:]), {})
    with pytest.raises(InputError, match=f"is incomplete. Received: no {family.prefix}"):
        start_from(model, read_huggingface(str(folder)))


@pytest.mark.parametrize(
    ("options", "inputs"),
    [({}, None), (ROBERTA, ["input_ids", "attention_mask"]), (MODERNBERT, ["input_ids", "attention_mask"])],
)
def test_the_tokenizer_knows_the_inputs_of_the_model(make_trained: Any, options: dict[str, Any], inputs: Any) -> None:
    """One kind of segment, or none, needs no types."""
    trained = make_trained(**options)
    described = describe_folder(trained.config, trained.tokenizer, trained.vocabulary, None)
    settings = json.loads(described.tokenizer_files["tokenizer_config.json"])
    assert settings.get("model_input_names") == inputs
    assert settings["model_max_length"] == 24


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
    ("architecture", "options"),
    [("bert", {}), ("roberta", ROBERTA), ("albert", ALBERT), ("modernbert", {**MODERNBERT, "use_bias": True})],
)
def test_a_weight_that_differs_is_found(
    make_trained: Any, tmp_path: Path, architecture: str, options: dict[str, Any]
) -> None:
    """Every weight of every family has its part in the logits that an export is checked by."""
    folder, trained = str(tmp_path / "out"), make_trained(**options)
    export_huggingface(trained, folder, architecture=architecture)
    config = json.loads((tmp_path / "out/config.json").read_text())
    weights = read_safetensors(f"{folder}/model.safetensors")
    batch = {name: np.ones((1, 24), np.int64) for name in ("input_ids", "attention_mask")}
    batch = {**batch, "input_ids": 2 + np.arange(24)[None], "token_type_ids": np.zeros((1, 24), np.int64)}
    if options.get("type_vocab_size") != 1:
        batch["token_type_ids"][:, 12:] = 1

    def computed(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return FAMILIES[architecture].compute(config, values, batch, np.arange(24)[None])

    expected = computed(weights)
    for name in sorted(weights):
        if name.endswith("key.bias"):  # It adds the same to all scores of a query.
            continue
        changed = weights[name].copy()
        changed.flat[-1] += 0.2
        found = computed({**weights, name: changed})
        assert max(np.abs(found[key] - expected[key]).max() for key in expected) > TOLERANCE, name
    write_safetensors(f"{folder}/model.safetensors", {**weights, name: changed}, {})
    with pytest.raises(OutputError, match="differ from the trained model's"):
        verify(folder, trained.model)


def test_an_export_that_is_wrong_leaves_nothing(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(family: Any, model: Any) -> dict[str, np.ndarray]:
        weights = read_weights(family, model)
        return {**weights, "cls.predictions.bias": np.full_like(weights["cls.predictions.bias"], np.nan)}

    read_weights = hf_export.read_weights
    monkeypatch.setattr(hf_export, "read_weights", damaged)
    with pytest.raises(OutputError, match="a difference of nan"):
        export_huggingface(trained, str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="already exists and is not an empty directory"):
        export_huggingface(trained, str(tmp_path))
    with pytest.raises(OutputError, match="already exists and is not an empty directory"):
        export_huggingface(trained, str(tmp_path / "thesis.txt"))
    with pytest.raises(ConfigError, match="local directory"):
        export_huggingface(trained, "gs://bucket/model")
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_python_without_transformers_is_told_of(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"No module named 'torch'.* transformers and torch are installed"):
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
    with pytest.raises(InputError, match="must run from 0 without gaps"):
        read_huggingface(str(folder))


def test_an_interpreter_that_is_not_there_is_told(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--verify-with is not a Python interpreter. Received: no-such-python"):
        export_huggingface(trained, str(tmp_path / "out"), python="no-such-python")
    assert not list(tmp_path.iterdir())
