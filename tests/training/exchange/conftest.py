"""Small models whose every weight matters, as if they had been trained."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.tokenizers import WordPieceTokenizer
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask
from pipeline.training.trained_model import TrainedModel

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *[f"w{i:02d}" for i in range(45)]]  # The tiny corpus's.
ROOT = Path(__file__).parents[3]
VOCABULARY = "\n".join(WORDS).encode() + b"\n"
ENCODER = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
}


def _make_trained(
    *, next_sentence: bool = True, head: dict[str, Any] | None = None, mlm_activation: str = "gelu", **encoder: Any
) -> TrainedModel:
    heads = (ClsHeadConfig(**{"inner_dim": 16, "name": "next_sentence", "dropout_rate": 0.1, **(head or {})}),)
    config = PretrainerConfig(
        encoder=EncoderConfig(**{**ENCODER, **encoder}),
        cls_heads=heads if next_sentence else (),
        mlm_activation=mlm_activation,
    )
    model = MaskedLMTask(MaskedLMConfig(model=config)).build_model()
    # Biases and layer norms too are other than at first, so that none can be forgotten or mistaken for another.
    draw = np.random.default_rng(7)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + 0.3 * draw.normal(size=variable.shape))
    return TrainedModel(model, config, WordPieceTokenizer(VOCABULARY), VOCABULARY)


@pytest.fixture(scope="session")
def make_trained() -> Callable[..., TrainedModel]:
    """Makes a model with random weights."""
    return _make_trained


@pytest.fixture(scope="session")
def trained() -> TrainedModel:
    """A model with a next-sentence head."""
    return _make_trained()


@pytest.fixture(scope="session")
def batch() -> dict[str, np.ndarray]:
    """Four sequences of several lengths, with positions to predict."""
    draw = np.random.default_rng(3)
    lengths = np.array([24, 9, 1, 17])
    return {
        "input_word_ids": draw.integers(len(WORDS), size=(4, 24)).astype(np.int32),
        "input_mask": (np.arange(24) < lengths[:, None]).astype(np.int32),
        "input_type_ids": draw.integers(2, size=(4, 24)).astype(np.int32),
        "masked_lm_positions": (draw.random((4, 5)) * lengths[:, None]).astype(np.int32),
    }


@pytest.fixture(scope="session")
def peer_environment() -> Callable[[str], Path]:
    """Makes another project's environment, if it is not there, by its target of the Makefile; gives its directory."""

    def make(target: str) -> Path:
        done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return ROOT / "out" / target

    return make


@pytest.fixture(scope="session")
def run_script() -> Callable[..., None]:
    """Runs a script of this directory in another environment, and with no packages but that one's."""

    def run(environment: Path, script: str, *arguments: str) -> None:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [str(environment / "bin" / "python"), str(Path(__file__).with_name(script)), *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return run
