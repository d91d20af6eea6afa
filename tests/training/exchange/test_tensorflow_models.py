"""Checkpoints that tensorflow/models itself writes give models that compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.training.exchange.start import read_source, start_from
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def written(peer_environment: Any, run_script: Any, batch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the script has filled."""
    folder = tmp_path_factory.mktemp("tensorflow-models")
    np.savez(folder / "batch.npz", **batch)
    run_script(peer_environment("peers"), "tensorflow_models_script.py", str(folder))
    return folder


@pytest.mark.parametrize("way", ["trainer", "items", "encoder", "model"])
@pytest.mark.parametrize("name", ["config", "classes"])
def test_checkpoints(written: Path, batch: Any, name: str, way: str) -> None:
    source = read_source(str(written / f"{name}-{way}"))
    encoder = source.config.encoder
    assert (encoder.num_layers, encoder.num_attention_heads, encoder.intermediate_size) == (2, 4, 24)
    model = MaskedLMTask(MaskedLMConfig(model=source.config)).build_model()
    said = start_from(model, source).description
    outputs = model(batch, training=False)
    expected = np.load(written / f"{name}.npz")
    # Checkpoints of the encoder alone have no heads; nor their output layers, those of `checkpoint_items`.
    names = {"trainer": expected.files, "items": ["sequence_output", "mlm_logits"]}.get(way, ["sequence_output"])
    assert ("random at first" in said) == (way in ("encoder", "model"))
    for key in names:
        np.testing.assert_allclose(outputs[key], expected[key], atol=TOLERANCE)
