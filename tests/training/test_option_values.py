"""Every option of pre-training with values that it cannot have: refused by its name when the configuration is made."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.config.choices import alternatives, is_choice
from pipeline.config.tree import apply_overrides, from_dict, to_dict
from pipeline.errors import ConfigError
from pipeline.training.bert import ClsHeadConfig
from pipeline.training.configs import DataConfig, ExperimentConfig, MaskedLMConfig, OptimizerConfig

# Text that no list of choices and no pattern can bound; each is checked where it is used, before the first step.
FREE_TEXT = {
    "input_path",
    "init_checkpoint",
    "example",
    "tpu",
    "exclude_from_weight_decay",
    "exclude_from_muon",
    "decay_from",
    "name",
    "budget",  # A time; `test_budget.py` has those that are none.
}
Option = tuple[str, "dataclasses.Field[Any]", Any]


def options(kind: Any, path: str = "") -> Iterator[Option]:
    """Every option of a config and of those within it: its path, its field, and its types."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        place, hint = f"{path}.{field.name}".lstrip("."), hints[field.name]
        if dataclasses.is_dataclass(hint) or is_choice(hint):
            for kind in alternatives(hint):
                yield from options(kind, place)
        elif field.name != "cls_heads":  # A list; see the heads below.
            yield place, field, {hint, *typing.get_args(hint)}


OPTIONS = [*options(ExperimentConfig), *options(ClsHeadConfig, "head")]
IDS = [path for path, _, _ in OPTIONS]


def make(path: str, value: Any) -> ExperimentConfig:
    """The default configuration with one other value, as YAML would give it."""
    if path.startswith("head."):
        head = {"name": "topic", "inner_dim": 8, path.removeprefix("head."): value}
        return from_dict(ExperimentConfig, {"task": {"model": {"cls_heads": [head]}}})
    values: Any = value
    for name in reversed(path.split(".")):
        values = {name: values}
    return from_dict(ExperimentConfig, values)


@pytest.mark.parametrize(("path", "field", "types"), OPTIONS, ids=IDS)
def test_every_option_has_bounds(path: str, field: Any, types: Any) -> None:
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    if types & {int, float}:
        assert None not in (low, high)
        assert low < high < math.inf
        name = path.rpartition(".")[2]
        for value in (low - 1, -math.inf, math.inf, math.nan, high * 2, 10**400):
            value = value if float in types or not isinstance(value, float) or not math.isfinite(value) else int(value)
            with pytest.raises(ConfigError, match=rf"\b{name} must be"):
                make(path, value)
    elif str in types and path.rpartition(".")[2] not in FREE_TEXT:
        assert field.metadata["choices"]
        for value in ("", "no such"):
            with pytest.raises(ConfigError, match="must be one of"):
                make(path, value)


@pytest.mark.parametrize(("path", "field", "types"), OPTIONS, ids=IDS)
def test_every_option_has_a_type(path: str, field: Any, types: Any) -> None:
    wrong: list[Any] = [{"a": 1}, [[1]]]
    wrong += [] if str in types else ["", "many"]
    wrong += [] if bool in types else [True]
    wrong += [] if {int, float} & types else [3, 1.5]
    wrong += [] if type(None) in types else [None]
    for value in wrong:
        with pytest.raises(ConfigError, match=rf"{path.rpartition('.')[2]}\S* must be"):
            make(path, value)


def test_messages_have_the_whole_path() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.optimizer\.beta_1 must be between 0 and 0\.999999. Received: 1"):
        apply_overrides(ExperimentConfig(), ["trainer.optimizer.beta_1=1"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.validation_data.is_training=true"], r"task\.validation_data\.is_training must be false"),
        (["task.train_data.is_training=false"], r"task\.train_data\.is_training must be true"),
        (["trainer.seed=5000000000"], r"trainer\.seed must be between 0 and 4294967295"),
        (["trainer.optimizer.exclude_from_weight_decay=['(']"], "must contain regular expressions.*missing"),
        (["trainer.optimizer.exclude_from_weight_decay=['']"], "empty expression"),
        (["trainer.optimizer.exclude_from_weight_decay=bias"], "must be a list"),
        (["trainer.optimizer.exclude_from_muon=['[']"], "exclude_from_muon must contain regular expressions"),
        (["trainer.optimizer.decay_steps=10"], "decay_steps can only be used with decay=wsd.*Received: linear"),
        (["trainer.optimizer.warmup_start=0.5"], "warmup_start can only be used with decay=wsd or triangle"),
        (
            ["trainer.optimizer={decay: wsd, warmup_steps: 60, decay_steps: 50}", "trainer.train_steps=100"],
            "must add up to at most 100.*Received: 60 and 50",
        ),
        (["trainer.train_steps=100"], "warmup_steps must be less than train_steps"),
        (["trainer.accumulation_steps=3"], "multiple of trainer.accumulation_steps"),
        (["task.model.encoder.num_attention_heads=7"], "multiple of num_attention_heads"),
        (["task.model.encoder.dropout_rate=1"], r"encoder\.dropout_rate must be between 0 and 0\.99"),
        (["runtime.loss_scale=1024"], "can only be used with float16"),
        (["runtime.tpu=grpc://here"], "distribution_strategy tpu"),
        (["runtime.distribution_strategy=mirror"], "must be one of one_device"),
        (["task.model.cls_heads=[{name: next_sentence}]"], "needs a pooling layer.*Set inner_dim to null"),
        (["task.model.cls_heads=[{name: mlm_logits}]"], "one of the model's own outputs"),
        (["task.model.cls_heads=[{name: a/b}]"], "only letters, digits"),
        (["task.model.cls_heads=[{name: a b}]"], "only letters, digits"),
        (["task.model.cls_heads=[{name: ''}]"], "only letters, digits"),
        (["task.model.cls_heads=null"], "must be a list"),
        (
            ["task.train_data.use_next_sentence_label=false", "task.validation_data.use_next_sentence_label=true"],
            "the head to evaluate would be untrained",
        ),
        (["trainer=3"], "trainer must be a mapping"),
    ],
)
def test_contradictions_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides(ExperimentConfig(), overrides)


def test_python_is_checked_as_yaml_is() -> None:
    for values in ({"global_batch_size": "16"}, {"global_batch_size": 1.5}, {"seed": True}, {"trim": "no"}):
        with pytest.raises(ConfigError, match=f"{next(iter(values))} must be of type"):
            DataConfig(**values)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="exclude_from_weight_decay must be a list"):
        OptimizerConfig(exclude_from_weight_decay="bias")  # type: ignore[arg-type]
    config = DataConfig(input_path=["a", "b"], global_batch_size=np.int64(8))  # type: ignore[arg-type]
    assert config == DataConfig(input_path=("a", "b"), global_batch_size=8)
    assert isinstance(config.global_batch_size, int)


def test_labels_that_are_not_trained_on_are_not_evaluated_on() -> None:
    config = MaskedLMConfig(train_data=DataConfig(use_next_sentence_label=False))
    assert config.validation_data.use_next_sentence_label is False
    assert MaskedLMConfig().validation_data.use_next_sentence_label is None


def test_a_head_without_width_is_as_wide_as_the_encoder() -> None:
    model = apply_overrides(ExperimentConfig(), ["task.model.encoder.hidden_size=240"]).task.model
    assert [model.pooler_width(head) for head in model.cls_heads] == [240]
    assert model.pooler_width(ClsHeadConfig(inner_dim=7)) == 7
    assert from_dict(ExperimentConfig, to_dict(ExperimentConfig())) == ExperimentConfig()
