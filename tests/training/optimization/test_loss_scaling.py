from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.training.configs import RuntimeConfig
from pipeline.training.optimization.loss_scaling import LossScale


def test_it_halves_on_overflow_and_doubles_after_2000_good_steps() -> None:
    scale = LossScale(RuntimeConfig(mixed_precision_dtype="float16"))
    assert scale.value == 2.0**15
    assert scale.update(False)
    assert scale.value == 2.0**14
    for _ in range(1999):
        assert scale.update(True)
    assert scale.value == 2.0**14
    assert scale.update(True)
    assert scale.value == 2.0**15
    assert scale.update(False)  # Good steps are counted anew.
    for _ in range(1999):
        assert scale.update(True)
    assert scale.value == 2.0**14


def test_it_gives_up_where_no_scale_helps() -> None:
    scale = LossScale(RuntimeConfig(mixed_precision_dtype="float16"))
    for _ in range(15):
        assert scale.update(False)
    assert scale.value == 1.0
    assert not scale.update(False)


@pytest.mark.parametrize(
    ("config", "value"),
    [
        (RuntimeConfig(), 1.0),
        (RuntimeConfig(mixed_precision_dtype="bfloat16"), 1.0),
        (RuntimeConfig(mixed_precision_dtype="float16", loss_scale=128.0), 128.0),
    ],
)
def test_a_fixed_scale_stays(config: RuntimeConfig, value: float) -> None:
    scale = LossScale(config)
    assert scale.value == value
    assert scale.update(True)
    assert not scale.update(False)
    assert scale.value == value


def test_a_scale_without_float16_is_refused() -> None:
    with pytest.raises(ConfigError, match="loss_scale can only be used with float16"):
        RuntimeConfig(loss_scale=2.0)
