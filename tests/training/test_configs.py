from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from pipeline.config.tree import apply_overrides, from_dict, to_dict
from pipeline.errors import ConfigError
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.configs import (
    DataConfig,
    ExperimentConfig,
    MaskedLMConfig,
    OptimizerConfig,
    TrainerConfig,
)
from pipeline.training.encoders import AlbertEncoderConfig, BertEncoderConfig, EncoderConfig, build_encoder


def test_defaults_are_bert_base() -> None:
    config = ExperimentConfig()
    encoder = config.task.model.encoder
    assert (encoder.hidden_size, encoder.num_layers, encoder.intermediate_size) == (768, 12, 3072)
    assert encoder.vocab_size == 30522
    assert config.task.model.has_head("next_sentence")
    assert from_dict(ExperimentConfig, to_dict(config)) == config


def test_roles_decide_what_is_training() -> None:
    config = MaskedLMConfig()
    assert config.train_data.is_training is True
    assert config.validation_data.is_training is False
    explicit = MaskedLMConfig(validation_data=DataConfig(is_training=True))
    assert explicit.validation_data.is_training is True


def test_second_names() -> None:
    config = EncoderConfig(num_hidden_layers=3)
    assert config.num_layers == config.num_hidden_layers == 3
    with pytest.raises(ConfigError, match="another name of num_layers"):
        EncoderConfig(num_hidden_layers=3, num_layers=3)


def test_nested_form_of_tensorflow_models() -> None:
    flat = EncoderConfig(hidden_size=24, num_layers=2)
    assert EncoderConfig(type="bert", bert=BertEncoderConfig(hidden_size=24, num_layers=2)) == flat
    assert EncoderConfig("bert", bert=flat, albert={"hidden_size": 36}).get() == flat
    values = {"type": "bert", "bert": {"hidden_size": 24, "num_hidden_layers": 2}, "albert": {"hidden_size": 36}}
    assert from_dict(EncoderConfig, values) == flat
    with pytest.raises(ConfigError, match=r"hidden_size is given twice, directly and as bert\.hidden_size"):
        EncoderConfig(hidden_size=24, bert={"hidden_size": 24})
    with pytest.raises(ConfigError, match="must be a mapping"):
        EncoderConfig(bert=3)
    with pytest.raises(ConfigError, match=r"There is no option encoder\.hidden"):
        from_dict(PretrainerConfig, {"encoder": {"bert": {"hidden": 3}}})


def test_defaults_of_albert() -> None:
    expected = EncoderConfig(
        type="albert", vocab_size=30000, embedding_size=128, dropout_rate=0.0, attention_dropout_rate=0.0
    )
    assert expected.embedding_width == 128
    for config in (
        AlbertEncoderConfig(),
        EncoderConfig(type="albert"),
        EncoderConfig(albert={"embedding_width": 128}),
        from_dict(EncoderConfig, {"type": "albert"}),
        from_dict(EncoderConfig, {"type": "albert", "albert": {}}),
        from_dict(EncoderConfig, to_dict(expected)),
    ):
        assert config == expected
    assert dataclasses.replace(expected, dropout_rate=0.1).dropout_rate == 0.1
    assert from_dict(EncoderConfig, {"albert": {"dropout_rate": 0.1}}).dropout_rate == 0.1


def test_overrides_by_second_names() -> None:
    config = apply_overrides(ExperimentConfig(), ["task.model.encoder.num_layers=2"])
    for names in (["encoder.num_hidden_layers=2"], ["encoder.bert.num_layers=2"], ["encoder.bert={num_layers: 2}"]):
        assert apply_overrides(ExperimentConfig(), [f"task.model.{name}" for name in names]) == config
    # Nothing but what is named changes: no default of the type comes with it.
    albert = apply_overrides(config, ["task.model.encoder.type=albert"]).task.model.encoder
    assert (albert.type, albert.num_layers, albert.vocab_size, albert.dropout_rate) == ("albert", 2, 30522, 0.1)


def test_overrides() -> None:
    config = apply_overrides(
        ExperimentConfig(), ["task.model.encoder.num_layers=2", "trainer.optimizer.learning_rate=1e-3"]
    )
    assert config.task.model.encoder.num_layers == 2
    assert config.trainer.optimizer.learning_rate == 1e-3
    with pytest.raises(ConfigError, match="num_layers"):
        apply_overrides(ExperimentConfig(), ["task.model.encoder.num_layer=2"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncoderConfig(hidden_size=10, num_attention_heads=3), "multiple of num_attention"),
        (lambda: EncoderConfig(dropout_rate=1.5), "dropout_rate"),
        (lambda: EncoderConfig(type="xlnet"), "type must be one of bert, albert"),
        (lambda: EncoderConfig(hidden_activation="gelly"), "hidden_activation must be one of gelu, gelu_exact, relu,"),
        (lambda: ClsHeadConfig(name="cls/topic"), "only letters, digits"),
        (lambda: ClsHeadConfig(name="next_sentence", num_classes=1), "at least 2"),
        (lambda: DataConfig(global_batch_size=0), "global_batch_size"),
        (lambda: OptimizerConfig(learning_rate=-1.0), "learning_rate"),
        (lambda: TrainerConfig(train_steps=5, optimizer=OptimizerConfig(warmup_steps=5)), "less"),
        (
            lambda: PretrainerConfig(cls_heads=(ClsHeadConfig(name="a"), ClsHeadConfig(name="a"))),
            "different names",
        ),
        (lambda: build_encoder(EncoderConfig(vocab_size=None)), "vocab_size"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_configurations_come_without_tensorflow() -> None:
    code = (
        "import sys; from pipeline.training import DataConfig, EncoderConfig, PretrainerConfig;"
        "from pipeline.training.configs import ExperimentConfig; ExperimentConfig();"
        "import pipeline.training.run, pipeline.training.evaluation.predict;"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def test_an_option_without_effect_is_told() -> None:
    with pytest.warns(FutureWarning, match="cycle_length no longer has any effect"):
        DataConfig(cycle_length=4)
