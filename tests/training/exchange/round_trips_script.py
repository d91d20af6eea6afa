"""What test_round_trips.py runs in Hugging Face's environment: `round_trips_script.py make|compute FOLDER`.

`make` writes a model with random weights and its tokenizer into FOLDER/theirs, for each tokenizer.json in
FOLDER/tokenizers; `compute` writes what the models and tokenizers in FOLDER/ours give for FOLDER/texts.json into
FOLDER/computed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48}
KINDS = {
    "bert": ("BertForPreTraining", {"max_position_embeddings": 40}),
    "roberta": ("RobertaForMaskedLM", {"max_position_embeddings": 42, "type_vocab_size": 1, "layer_norm_eps": 1e-5}),
    "xlm-roberta": ("XLMRobertaForMaskedLM", {"max_position_embeddings": 42, "type_vocab_size": 1}),
    "albert": ("AlbertForPreTraining", {"max_position_embeddings": 40, "embedding_size": 16}),
    "modernbert": ("ModernBertForMaskedLM", {"max_position_embeddings": 40, "local_attention": 8}),
    "roberta-encoder": ("RobertaModel", {"max_position_embeddings": 42, "type_vocab_size": 1}),
    "modernbert-encoder": ("ModernBertModel", {"max_position_embeddings": 40, "local_attention": 8}),
}
SPECIAL = {"cls": ("[CLS]", "<s>"), "sep": ("[SEP]", "</s>"), "mask": ("[MASK]", "<mask>")}
SPECIAL |= {"pad": ("[PAD]", "<pad>"), "unk": ("[UNK]", "<unk>")}


def make(folder: Path) -> None:
    torch.manual_seed(5)
    for path in sorted((folder / "tokenizers").iterdir()):
        kind, options = KINDS[path.stem]
        known = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path)).get_vocab()
        special = {f"{role}_token": next(name for name in names if name in known) for role, names in SPECIAL.items()}
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), **special)
        ids = {"pad_token_id": tokenizer.pad_token_id, "vocab_size": len(tokenizer)}
        ids |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        if "modernbert" in path.stem:
            ids |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        cls = getattr(transformers, kind)
        model = cls(cls.config_class(**{**SIZES, **ids, **options}))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(folder / "theirs" / path.stem)
        tokenizer.save_pretrained(folder / "theirs" / path.stem)


def compute(folder: Path) -> None:
    texts = json.loads((folder / "texts.json").read_text())
    (folder / "computed").mkdir()
    for path in sorted((folder / "ours").iterdir()):
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(path, output_loading_info=True)
        model.eval()
        # As a user has it: the tokenizer knows which inputs the model takes.
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits
        np.savez(
            folder / "computed" / f"{path.name}.npz",
            logits=logits.numpy(),
            input_ids=inputs["input_ids"].numpy(),
            attention_mask=inputs["attention_mask"].numpy(),
            missing=np.array(sorted(info["missing_keys"]), dtype=str),
            kind=type(model).__name__,
            masked=tokenizer(f"The value {tokenizer.mask_token} is")["input_ids"],
        )


if __name__ == "__main__":
    {"make": make, "compute": compute}[sys.argv[1]](Path(sys.argv[2]))
