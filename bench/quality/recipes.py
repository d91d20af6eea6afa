"""What is compared: recipes of this project, and those of tensorflow/models and Hugging Face's run_mlm."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.turns import PEERS, ROOT

HUGGING_FACE = ROOT / "out" / "huggingface" / "bin" / "python"
SEQ_LENGTH = 128


SIZES: dict[str, dict[str, Any]] = {
    # BERT-Tiny's and BERT-Mini's blocks (Turc et al., 2019), and some that a test can train.
    "tiny": {
        "vocab_size": 8192,
        "shape": {"num_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512},
        "probes": (10, 70),
    },
    "mini": {
        "vocab_size": 8192,
        "shape": {"num_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
        "probes": (20, 120),
    },
    "smallest": {
        "vocab_size": 1000,
        "shape": {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64},
        "probes": (10, 210),
    },
}


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        steps: steps of the optimiser, over which the rate is decayed fully.
        rate: the peak learning rate.
        seed: of weights, order and dropout.
        output: the folder of its files.
    """

    steps: int
    rate: float
    seed: int
    output: Path


@dataclass(frozen=True)
class Data:
    """What all contenders share.

    Attributes:
        folder: of texts, vocabulary and corpora.
        vocab_size: entries of the vocabulary.
        shape: of all contenders' blocks, by our names, but for recipes that say otherwise, which must have as many
            parameters outside the embeddings.
        probes: steps of the two short trainings that the pace is computed from.
    """

    folder: Path
    vocab_size: int
    shape: Mapping[str, int]
    probes: tuple[int, int]

    @property
    def vocab(self) -> Path:
        """The vocabulary."""
        return self.folder / "vocab.txt"

    @property
    def train_text(self) -> Path:
        """The documents to train on, in BERT's format."""
        return self.folder / "train.txt"

    def corpus(self, options: Sequence[str]) -> Path:
        """The folder of the corpus with these options."""
        name = "-".join(word.removeprefix("--") for word in options) or "default"
        return self.folder / f"corpus-{name}"


@dataclass(frozen=True)
class Recipe:
    """A way to train: what runs, on which corpus, with which options.

    Attributes:
        program: "mlm-pipeline", "tensorflow/models" or "run_mlm".
        rates: peak learning rates to try; the first is the recipe's own.
        corpus: options of the corpus command; the recipe's data are made outside of the clock.
        options: of `pretrain`, by their dotted names.
        batch: examples of a batch.
        warmup: share of the steps over which the rate rises.
        note: what it is.
    """

    program: str
    rates: tuple[float, ...]
    corpus: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 32
    warmup: float = 0.01
    note: str = ""

    def command(self, data: Data, job: Job) -> list[str]:
        """The command that trains and leaves its model in `job.output`."""
        return _COMMANDS[self.program](self, data, job)

    def model(self, job: Job) -> Path:
        """What `evaluate --run` reads."""
        return job.output if self.program == "mlm-pipeline" else job.output / "model"


def _ours(recipe: Recipe, data: Data, job: Job) -> list[str]:
    shape = dict(data.shape)
    if recipe.options.get("task.model.encoder.type") == "modernbert":
        # Its blocks have three matrices where BERT's have two: as many parameters, with whole vectors of 8 numbers.
        shape["intermediate_size"] = 8 * round(shape["intermediate_size"] / 12)
    options = {
        **{f"task.model.encoder.{name}": value for name, value in shape.items()},
        "task.model.encoder.max_position_embeddings": SEQ_LENGTH,
        "task.model.encoder.vocab_size": None,  # The corpus's.
        "task.train_data.global_batch_size": recipe.batch,
        "trainer.train_steps": job.steps,
        "trainer.seed": job.seed,
        "trainer.validation_interval": job.steps,
        "trainer.checkpoint_interval": job.steps,
        "trainer.optimizer.learning_rate": job.rate,
        "trainer.optimizer.warmup_steps": min(round(recipe.warmup * job.steps), job.steps - 1),
        **recipe.options,
    }
    command = [sys.executable, "-m", "pipeline", "pretrain", "--corpus", str(data.corpus(recipe.corpus))]
    command += ["--run", str(job.output), "--no-progress", "--params-override"]
    return [*command, *(f"{name}={json.dumps(value)}" for name, value in options.items())]


def _peer(python: Path, script: str) -> Any:
    def command(recipe: Recipe, data: Data, job: Job) -> list[str]:
        values = {
            **{
                "shape": dict(data.shape),
                "vocab_size": data.vocab_size,
                "seq_length": SEQ_LENGTH,
                "batch": recipe.batch,
            },
            **{"steps": job.steps, "rate": job.rate, "seed": job.seed, "warmup": recipe.warmup},
            **{"corpus": str(data.corpus(recipe.corpus)), "vocab": str(data.vocab)},
            **{"output": str(job.output / "model"), "prepared": str(data.folder / "run_mlm.npy")},
        }
        return [str(python), str(Path(__file__).parent / script), json.dumps(values)]

    return command


_COMMANDS = {
    "mlm-pipeline": _ours,
    "tensorflow/models": _peer(PEERS, "tensorflow_models.py"),
    "run_mlm": _peer(HUGGING_FACE, "run_mlm.py"),
}

_PAIRS = ("--dupe-factor", "5")  # BERT's own data: pairs of segments, masked five times.
_PACKED = ("--pairing", "doc-sentences", "--packing", "best-fit", "--masking", "dynamic", "--dupe-factor", "1")

RECIPES: dict[str, Recipe] = {
    "tensorflow/models": Recipe(
        "tensorflow/models",
        rates=(1e-4, 3e-4, 1e-3, 3e-3),
        corpus=_PAIRS,
        note="MaskedLMTask with BERT's recipe: pairs, static masks, AdamW, rate 1e-4",
    ),
    "run_mlm": Recipe(
        "run_mlm",
        rates=(5e-5, 3e-4, 1e-3, 3e-3),
        warmup=0.0,
        note="Hugging Face's run_mlm: text in blocks of 128 tokens, masks drawn anew, AdamW, rate 5e-5, no warm-up",
    ),
    "bert": Recipe(
        "mlm-pipeline",
        rates=(1e-4, 3e-4, 1e-3, 3e-3),
        corpus=_PAIRS,
        note="BERT's recipe here",
    ),
    "packed": Recipe(
        "mlm-pipeline",
        rates=(1e-3, 3e-3),
        corpus=_PACKED,
        options={
            "task.model.cls_heads": [],
            "task.model.encoder.dropout_rate": 0.0,
            "task.model.encoder.attention_dropout_rate": 0.0,
        },
        warmup=0.1,
        note="segments of one document in packed rows, masks drawn anew, no next-sentence head, no dropout",
    ),
    "modern": Recipe(
        "mlm-pipeline",
        rates=(1e-2, 3e-3),
        corpus=_PACKED,
        options={
            "task.model.cls_heads": [],
            "task.model.encoder.type": "modernbert",
            "trainer.optimizer.type": "muon",
        },
        batch=16,
        warmup=0.1,
        note="packed, with ModernBERT's blocks, Muon, and batches of 16",
    ),
}
RECIPES["ours"] = dataclasses.replace(
    RECIPES["modern"],
    options={
        **RECIPES["modern"].options,
        "task.train_data.masked_lm_prob": 0.3,
        "task.train_data.final_masked_lm_prob": 0.15,
    },
    note="modern, with 30 % of the tokens masked at the beginning and 15 % at the end: configs/pretrain-small.yaml",
)
