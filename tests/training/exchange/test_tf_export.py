from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import OutputError
from pipeline.training.exchange import tf_export
from pipeline.training.exchange.tf_export import export_encoder, export_saved_model


def run_without_this_project(code: str, folder: Path) -> None:
    """Runs code in a process that cannot import this project."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = f"import sys; sys.modules['pipeline'] = None\nimport numpy as np, tensorflow as tf\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_saved_model_serves_without_this_project(trained: Any, batch: Any, tmp_path: Path) -> None:
    export_saved_model(trained, str(tmp_path / "model"), text=False)
    np.savez(tmp_path / "batch.npz", **batch)
    code = """
batch = {name: tf.constant(values) for name, values in np.load("batch.npz").items()}
loaded = tf.saved_model.load("model")
np.savez("served.npz", **loaded.signatures["serving_default"](**batch))
batch.pop("masked_lm_positions")
np.savez("encoded.npz", **loaded.signatures["encode"](**batch))
"""
    run_without_this_project(code, tmp_path)
    expected = trained.model(batch, training=False)
    served, encoded = np.load(tmp_path / "served.npz"), np.load(tmp_path / "encoded.npz")
    assert set(served) == {"mlm_logits", "next_sentence", "sequence_output", "pooled_output"}
    assert set(encoded) == {"sequence_output", "pooled_output"}
    for found in (served, encoded):
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert (tmp_path / "model/assets.extra/vocab.txt").read_bytes() == trained.vocabulary
    assert json.loads((tmp_path / "model/assets.extra/tokenizer.json").read_text())["kind"] == "wordpiece"


def test_the_encoder_alone(make_trained: Any, batch: Any, tmp_path: Path) -> None:
    """In a fresh process, as a Keras file with this project and as a SavedModel without; with the trained pooler."""
    trained = make_trained()
    head = trained.model.classification_heads[0]
    hidden = trained.model(batch, training=False)["sequence_output"][:, 0]
    export_encoder(trained, str(tmp_path / "encoder"))
    assert {path.name for path in (tmp_path / "encoder").iterdir()} == {
        "encoder.keras",
        "saved_model",
        "tokenizer.json",
        "vocab.txt",
    }
    np.savez(tmp_path / "batch.npz", **{name: batch[name] for name in batch if name != "masked_lm_positions"})
    code = """
batch = {name: tf.constant(values) for name, values in np.load("batch.npz").items()}
np.savez("saved.npz", **tf.saved_model.load("encoder/saved_model").signatures["serving_default"](**batch))
"""
    run_without_this_project(code, tmp_path)
    with_project = (
        "import keras, numpy as np; from pipeline.training import BertEncoder\n"
        "encoder = keras.saving.load_model('encoder/encoder.keras')\n"
        "outputs = encoder(dict(np.load('batch.npz')), training=False)\n"
        "np.savez('loaded.npz', **{name: outputs[name] for name in ('sequence_output', 'pooled_output')})\n"
    )
    subprocess.run(
        [sys.executable, "-c", with_project],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=True,
        capture_output=True,
    )
    expected = trained.model(batch, training=False)
    for name in ("saved", "loaded"):
        found = np.load(tmp_path / f"{name}.npz")
        np.testing.assert_allclose(found["sequence_output"], expected["sequence_output"], atol=1e-5)
        np.testing.assert_allclose(found["pooled_output"], head.dense(hidden), atol=1e-5)


@pytest.mark.parametrize("export", [export_saved_model, export_encoder])
def test_an_export_that_is_wrong_leaves_nothing(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Any
) -> None:
    write = tf_export._write_saved_model

    def damage(model: Any, folder: str, signatures: Any, *of_text: Any) -> None:
        kernel = model.trainable_variables[0]
        before = kernel.numpy()
        kernel.assign(before[::-1])
        write(model, folder, signatures, *of_text)
        kernel.assign(before)

    monkeypatch.setattr(tf_export, "_write_saved_model", damage)
    with pytest.raises(OutputError, match="differs from the trained model's"):
        export(trained, str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
