"""Configs as tensorflow/models' are used: from mapping and YAML, as dictionaries, changed copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.base import save_params_dict_to_yaml
from pipeline.errors import ConfigError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.configs import MaskedLMConfig
from pipeline.training.encoders import EncoderConfig


def test_a_mapping_makes_a_config() -> None:
    config = MaskedLMConfig({"model": {"encoder": {"type": "bert", "bert": {"num_layers": 3}}, "cls_heads": []}})
    assert config == MaskedLMConfig(model=PretrainerConfig(encoder=EncoderConfig(num_layers=3), cls_heads=()))
    assert MaskedLMConfig(config.as_dict()) == config
    assert EncoderConfig({"hidden_size": 24}, num_layers=1) == EncoderConfig(hidden_size=24, num_layers=1)
    with pytest.raises(ConfigError, match=r"no option model\.encodr.*Did you mean encoder"):
        MaskedLMConfig({"model": {"encodr": {}}})


def test_copies_are_changed_and_checked() -> None:
    config = MaskedLMConfig()
    changed = config.override({"model": {"encoder": {"num_layers": 2}}, "scale_loss": True})
    assert changed.model.encoder.as_dict() == {**config.model.encoder.as_dict(), "num_layers": 2}
    assert (changed.scale_loss, config.scale_loss) == (True, False)
    assert config.model.encoder.replace(num_layers=2) == changed.model.encoder
    with pytest.raises(ConfigError, match="multiple of num_attention_heads"):
        config.override({"model": {"encoder": {"hidden_size": 7}}})


def test_yaml_and_back(tmp_path: Path) -> None:
    config = MaskedLMConfig().override({"model": {"encoder": {"type": "albert"}}})
    save_params_dict_to_yaml(config, str(tmp_path / "config.yaml"))
    assert MaskedLMConfig.from_yaml(str(tmp_path / "config.yaml")) == config
    with pytest.raises(ConfigError, match="Cannot read"):
        MaskedLMConfig.from_yaml(str(tmp_path / "none.yaml"))
