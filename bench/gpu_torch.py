"""The part of `bench.gpu` that runs in PyTorch's environment: transformers' model of a shape, by its SDPA attention."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
import transformers

LOOP = 10  # As bench.gpu's.
RATE = 0.15


def measure(shape: dict[str, Any], tokens: int, loops: int, device: str = "cuda") -> float:
    """Tokens a second, in bfloat16 autocast with fused AdamW; rows are full."""
    encoder, length = shape["encoder"], shape["length"]
    options = {
        "vocab_size": encoder["vocab_size"],
        "hidden_size": encoder["hidden_size"],
        "num_hidden_layers": encoder["num_layers"],
        "num_attention_heads": encoder["num_attention_heads"],
        "intermediate_size": encoder["intermediate_size"],
        "max_position_embeddings": length,
        "pad_token_id": 0,
    }
    modern = encoder.get("type") == "modernbert"
    if modern:
        options |= dict.fromkeys(("bos_token_id", "cls_token_id"), 2) | dict.fromkeys(
            ("eos_token_id", "sep_token_id"), 3
        )
    config = (transformers.ModernBertConfig if modern else transformers.BertConfig)(**options)
    model = transformers.AutoModelForMaskedLM.from_config(config, attn_implementation="sdpa").to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(5, encoder["vocab_size"], (max(1, tokens // length), length), device=device)
    labels = torch.where(torch.rand(ids.shape, device=device) < RATE, ids, -100)

    def steps(count: int) -> None:
        for _ in range(count):
            with torch.autocast(device, torch.bfloat16):
                loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()

    steps(LOOP)
    start = time.perf_counter()
    steps(LOOP * loops)
    return ids.numel() * LOOP * loops / (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
