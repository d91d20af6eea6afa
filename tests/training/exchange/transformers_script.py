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
        automatic = {"masked-lm": transformers.AutoModelForMaskedLM}
        if type(transformers.AutoConfig.from_pretrained(path)) in transformers.MODEL_FOR_PRETRAINING_MAPPING:
            automatic["pretraining"] = transformers.AutoModelForPreTraining
        for kind, cls in automatic.items():
            model, info = cls.from_pretrained(path, output_loading_info=True)
            outputs = compute(model, batch)
            found |= {f"{kind}.{name}": values for name, values in outputs.items()}
            found[f"{kind}.class"] = np.array(type(model).__name__)
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
    roberta = {"max_position_embeddings": 26, "type_vocab_size": 2, "layer_norm_eps": 1e-5}
    modern = {"num_hidden_layers": 4, "local_attention": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    modern |= {"cls_token_id": 1, "sep_token_id": 2}
    biases = dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"), True)
    biases |= {"layer_types": ["full_attention", "sliding_attention"] * 2, "hidden_activation": "silu", "norm_eps": 0.1}
    for name, kind, options in (
        ("pretraining", "BertForPreTraining", {}),  # Its activation is the exact gelu.
        ("masked-lm", "BertForMaskedLM", {"hidden_act": "gelu_new", "type_vocab_size": 3, "layer_norm_eps": 0.1}),
        ("half", "BertForPreTraining", {"hidden_act": "relu"}),
        ("roberta", "RobertaForMaskedLM", roberta),
        ("xlm-roberta", "XLMRobertaForMaskedLM", {**roberta, "hidden_act": "relu", "layer_norm_eps": 0.1}),
        ("albert", "AlbertForPreTraining", {"embedding_size": 8}),
        ("albert-masked-lm", "AlbertForMaskedLM", {"embedding_size": 8, "hidden_act": "gelu", "layer_norm_eps": 0.1}),
        ("modernbert", "ModernBertForMaskedLM", modern),
        ("modernbert-biases", "ModernBertForMaskedLM", {**modern, **biases}),
    ):
        cls = getattr(transformers, kind)
        model = cls(cls.config_class(**{**sizes, **options}))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
        if name == "half":
            model = model.to(torch.bfloat16)
        model.save_pretrained(folder / "theirs" / name)
        write(folder / "theirs-computed" / name, compute(model.float(), batch))


def compute(model: Any, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """The logits, by BERT's names."""
    model.eval()
    if getattr(model.config, "type_vocab_size", 1) < 2:  # Others than BERT's kin take no such argument.
        batch = {name: values for name, values in batch.items() if name != "token_type_ids"}
    with torch.no_grad():
        outputs = model(**batch)
    names = {"logits": "prediction_logits", "sop_logits": "seq_relationship_logits"}
    return {names.get(name, name): values.numpy() for name, values in outputs.items()}


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savez(path.with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
