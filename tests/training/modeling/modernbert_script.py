"""ModernBERT as transformers computes it, by random weights: a script for a process of its own, without TensorFlow.

For each case of the first argument, a JSON file, it writes into the same folder NAME.npz: the weights, the logits
of eager attention and of SDPA, the loss's gradients, and the weights after ten steps of AdamW. Gradients are of the
mean cross-entropy over `targets`, which are -100 where nothing is predicted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

STEPS, RATE, DECAY, EPSILON = 10, 1e-3, 0.1, 1e-4


def main(path: str) -> None:
    torch.set_num_threads(1)
    for name, case in json.loads(Path(path).read_text()).items():
        np.savez(Path(path).with_name(f"{name}.npz"), **compute(case))


def compute(case: dict[str, Any]) -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    config = ModernBertConfig(**case["config"], pad_token_id=0, attn_implementation="eager")
    model = ModernBertForMaskedLM(config).eval()
    with torch.no_grad():  # Weights far from those at first, so that no term hides.
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    found = {f"weights/{key}": array(value) for key, value in model.named_parameters()}
    inputs = inputs_of(case, model.config)
    found["eager"] = array(model(**inputs).logits)
    model.set_attn_implementation("sdpa")
    found["sdpa"] = array(model(**inputs).logits)
    model.set_attn_implementation("eager")
    targets = torch.tensor(case["targets"])

    def loss() -> torch.Tensor:
        logits = model(**inputs).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)

    loss().backward()
    found |= {f"gradients/{key}": array(value.grad) for key, value in model.named_parameters()}
    undecayed = [value for key, value in model.named_parameters() if "norm" in key or "bias" in key]
    decayed = [value for key, value in model.named_parameters() if "norm" not in key and "bias" not in key]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": undecayed, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    losses = []
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:  # Ours is what Adam's paper calls "epsilon hat".
            group["eps"] = EPSILON / (1 - 0.98**step) ** 0.5
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    found["losses"] = np.array(losses)
    return found | {f"stepped/{key}": array(value) for key, value in model.named_parameters()}


def inputs_of(case: dict[str, Any], config: Any) -> dict[str, Any]:
    """The batch; of packed rows with the block-diagonal masks, and with positions that start again."""
    ids, mask = torch.tensor(case["ids"]), torch.tensor(case["mask"])
    if "sequence_ids" not in case:
        return {"input_ids": ids, "attention_mask": mask}
    sequences = torch.tensor(case["sequence_ids"])
    same = sequences[:, :, None] == sequences[:, None, :]
    places = torch.arange(ids.shape[1])
    near = (places[:, None] - places[None, :]).abs() <= config.local_attention // 2
    masks = {"full_attention": same, "sliding_attention": same & near}
    low = torch.finfo(torch.float32).min
    additive = {key: torch.where(value, 0.0, low)[:, None] for key, value in masks.items()}
    starts = torch.where(same, places, ids.shape[1]).amin(-1)
    return {"input_ids": ids, "attention_mask": additive, "position_ids": places - starts}


def array(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy().copy()


if __name__ == "__main__":
    main(sys.argv[1])
