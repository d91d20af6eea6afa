"""Published models: their sizes, and the recipes by which they were trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Experiment:
    """A published model's shape and the way it was trained.

    Args:
        description: what it is, and where it was published.
        values: of an `ExperimentConfig`; the vocabulary is the corpus's.
        corpus: the options of the corpus that it was trained on, where they are not the corpus command's own.
    """

    description: str
    values: Mapping[str, Any]
    corpus: Mapping[str, Any] = field(default_factory=dict)


def _values(
    encoder: Mapping[str, Any],
    *,
    batch: int,
    steps: int,
    optimizer: Mapping[str, Any],
    head: Mapping[str, Any] | None,
) -> dict[str, Any]:
    heads = [{"name": "next_sentence", "inner_dim": None, **head}] if head is not None else []
    return {
        "task": {
            "model": {"encoder": {"vocab_size": None, **encoder}, "cls_heads": heads},
            "train_data": {"global_batch_size": batch},
            "validation_data": {"global_batch_size": batch},
        },
        "trainer": {"train_steps": steps, "optimizer": optimizer},
    }


def _bert(size: str, source: str, *, layers: int, hidden: int, heads: int) -> Experiment:
    """BERT with the recipe of Devlin et al., 2019: 1M steps of 256 examples."""
    encoder = {
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }
    optimizer = {"type": "adamw", "learning_rate": 1e-4, "warmup_steps": 10_000}
    return Experiment(
        f"BERT-{size}, {layers} layers of {hidden} ({source})",
        _values(encoder, batch=256, steps=1_000_000, optimizer=optimizer, head={"dropout_rate": 0.1}),
        {"pairing": "next-sentence"},
    )


def _modern_bert(
    title: str,
    *,
    layers: int,
    hidden: int,
    heads: int,
    intermediate: int,
    rate: float,
    decay: float,
    warmup_tokens: float,
) -> Experiment:
    """ModernBERT with the recipe of Ettin (Weller et al., 2025, https://arxiv.org/abs/2507.11412).

    The numbers are those of pretraining/configs/standard in JHU-CLSP/ettin-encoder-vs-decoder: 1.7T tokens at a
    constant rate, then 300B while it falls, in batches of 4,608 rows of 1,024.

    Args:
        title: what it is.
        layers, hidden, heads, intermediate: its shape.
        rate: the peak learning rate.
        decay: the weight decay as published, by which weights shrink in a step at the peak rate. Ours is multiplied by
            the rate.
        warmup_tokens: over which the rate rises.
    """
    of_step = 4608 * 1024
    encoder = {
        "type": "modernbert",
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
    }
    optimizer = {
        "type": "stable_adamw",
        "learning_rate": rate,
        "end_learning_rate": round(0.02 * rate, 9),
        "warmup_steps": round(warmup_tokens / of_step),
        "decay": "wsd",
        "decay_steps": round(300e9 / of_step),
        "beta_2": 0.98,
        "epsilon": 1e-6,
        "weight_decay_rate": round(decay / rate, 9),
        "gradient_clip_norm": 0.0,
    }
    return Experiment(
        f"{title} (Weller et al., 2025; Warner et al., 2024)",
        _values(encoder, batch=4608, steps=round(2e12 / of_step), optimizer=optimizer, head=None),
        {"pairing": "full-sentences", "masking": "dynamic", "max_seq_length": 1024, "masked_lm_prob": 0.3},
    )


# Geiping and Goldstein, 2023 (https://arxiv.org/abs/2212.14034): arch/crammed-bert.yaml and train/bert-o4.yaml of
# JonasGeiping/cramming. It trains for a day, not for a number of steps.
_CRAMMING_STEPS = 10_000
_CRAMMING = Experiment(
    "a BERT of 16 gated blocks for a day on one GPU, with a triangular rate (Geiping and Goldstein, 2023)",
    _values(
        {
            "num_layers": 16,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 1536,  # 3,072 there, of which the gate is one half.
            "hidden_activation": "gelu_exact",
            "mlp": "geglu",
            "norm_first": True,
            "final_norm": True,
            "use_bias": False,
            "dropout_rate": 0.0,
            "attention_dropout_rate": 0.0,
            "max_position_embeddings": 128,
        },
        batch=8192,
        steps=_CRAMMING_STEPS,
        optimizer={
            "type": "adamw",
            "learning_rate": 1e-3,
            "decay": "triangle",
            "warmup_steps": _CRAMMING_STEPS * 3 // 4,
            "warmup_start": 0.25,
            "beta_2": 0.98,
            "epsilon": 1e-12,
            "gradient_clip_norm": 0.5,
        },
        head=None,
    ),
    {"pairing": "full-sentences", "masking": "dynamic", "masked_lm_prob": 0.25},
)

_BASE = {"num_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
_TURC, _DEVLIN = "Turc et al., 2019", "Devlin et al., 2019"

EXPERIMENTS: dict[str, Experiment] = {
    "bert-tiny": _bert("Tiny", _TURC, layers=2, hidden=128, heads=2),
    "bert-mini": _bert("Mini", _TURC, layers=4, hidden=256, heads=4),
    "bert-small": _bert("Small", _TURC, layers=4, hidden=512, heads=8),
    "bert-base": _bert("Base", _DEVLIN, layers=12, hidden=768, heads=12),
    "bert-large": _bert("Large", _DEVLIN, layers=24, hidden=1024, heads=16),
    "roberta-like": Experiment(
        "BERT-Base on sentences packed to the full length, with new masks in every epoch, without a next-sentence"
        " head (Liu et al., 2019)",
        _values(
            _BASE,
            batch=8192,
            steps=500_000,
            optimizer={
                "type": "adamw",
                "learning_rate": 6e-4,
                "warmup_steps": 24_000,
                "beta_2": 0.98,
                "epsilon": 1e-6,
                "gradient_clip_norm": 0.0,
            },
            head=None,
        ),
        {"pairing": "full-sentences", "masking": "dynamic"},
    ),
    "albert-like": Experiment(
        "ALBERT-Base: one block applied 12 times, embeddings of 128, sentence-order pairs, n-grams masked, LAMB"
        " (Lan et al., 2020)",
        _values(
            {"type": "albert", **_BASE},
            batch=4096,
            steps=125_000,
            optimizer={"type": "lamb", "learning_rate": 1.76e-3, "warmup_steps": 3125},
            head={"dropout_rate": 0.0},
        ),
        {"pairing": "sentence-order", "masking_unit": "ngram"},
    ),
    "cramming": _CRAMMING,
    "ettin-17m": _modern_bert(
        "Ettin's smallest encoder, a ModernBERT of 7 layers of 256",
        layers=7,
        hidden=256,
        heads=4,
        intermediate=384,
        rate=3e-3,
        decay=3e-4,
        warmup_tokens=4e9,
    ),
    "ettin-32m": _modern_bert(
        "Ettin's encoder of 10 layers of 384",
        layers=10,
        hidden=384,
        heads=6,
        intermediate=576,
        rate=3e-3,
        decay=3e-4,
        warmup_tokens=4e9,
    ),
    "ettin-68m": _modern_bert(
        "Ettin's encoder of 19 layers of 512",
        layers=19,
        hidden=512,
        heads=8,
        intermediate=768,
        rate=3e-3,
        decay=3e-4,
        warmup_tokens=3e9,
    ),
    "modernbert-base": _modern_bert(
        "ModernBERT-base, 22 layers of 768, with Ettin's recipe",
        layers=22,
        hidden=768,
        heads=12,
        intermediate=1152,
        rate=8e-4,
        decay=1e-5,
        warmup_tokens=3e9,
    ),
    "modernbert-large": _modern_bert(
        "ModernBERT-large, 28 layers of 1,024, with Ettin's recipe",
        layers=28,
        hidden=1024,
        heads=16,
        intermediate=2624,
        rate=5e-4,
        decay=1e-5,
        warmup_tokens=2e9,
    ),
}
