"""What test_transformers.py runs in Hugging Face's environment: `transformers_script.py FOLDER`.

Loads the models in FOLDER/ours and writes what they compute into FOLDER/ours-computed; makes models in FOLDER/theirs
and writes what they compute into FOLDER/theirs-computed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers


def main(folder: Path) -> None:
    batch = {name: torch.from_numpy(values) for name, values in np.load(folder / "batch.npz").items()}
    texts = json.loads((folder / "texts.json").read_text())
    for path in sorted((folder / "ours").iterdir()):
        found: dict[str, Any] = {}
        for kind in ("BertForPreTraining", "BertForMaskedLM"):
            model, info = getattr(transformers, kind).from_pretrained(path, output_loading_info=True)
            outputs = compute(model, batch)
            found |= {f"{kind}.{name}": values for name, values in outputs.items()}
            found[f"{kind}.missing"] = np.array(sorted(info["missing_keys"]), dtype=str)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        pairs = tokenizer(texts[::2], texts[1::2])
        found["ids"] = np.array(json.dumps(tokenizer(texts)["input_ids"]))
        found["pair_ids"] = np.array(json.dumps(pairs["input_ids"]))
        found["pair_types"] = np.array(json.dumps(pairs.get("token_type_ids")))
        found["mask_id"] = np.array(tokenizer.mask_token_id)
        found["max_length"] = np.array(tokenizer.model_max_length)
        write(folder / "ours-computed" / path.name, found)
    torch.manual_seed(5)
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 24}
    for name, kind, options in (
        ("pretraining", "BertForPreTraining", {}),  # Its activation is the exact gelu.
        ("masked-lm", "BertForMaskedLM", {"hidden_act": "gelu_new", "type_vocab_size": 3}),
        ("half", "BertForPreTraining", {"hidden_act": "relu"}),
    ):
        model = getattr(transformers, kind)(transformers.BertConfig(**sizes, **options))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
        if name == "half":
            model = model.to(torch.bfloat16)
        model.save_pretrained(folder / "theirs" / name)
        write(folder / "theirs-computed" / name, compute(model.float(), batch))


def compute(model: Any, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """The logits; a BertForMaskedLM calls the one sort that it has "logits"."""
    model.eval()
    with torch.no_grad():
        outputs = model(**batch)
    return {"prediction_logits" if name == "logits" else name: values.numpy() for name, values in outputs.items()}


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savez(path.with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
