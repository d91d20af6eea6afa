"""The recipe of Hugging Face's run_mlm.py, with its `Trainer`, in the environment of `make huggingface`.

    python bench/quality/run_mlm.py prepare TEXT VOCAB SEQ_LENGTH BLOCKS   # Outside of the clock.
    python bench/quality/run_mlm.py JOB                                    # JSON, of bench/quality/recipes.py

As run_mlm.py does, each line is tokenized with its special tokens, all are joined, and the stream is cut into blocks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def _tokenizer(vocab: str) -> Any:
    from transformers import BertTokenizerFast

    return BertTokenizerFast(vocab, do_lower_case=True)


def prepare(text: str, vocab: str, seq_length: int, blocks: str) -> None:
    """Writes the blocks, int32 `[blocks, seq_length]`, of a text with a sentence per line."""
    tokenizer = _tokenizer(vocab)
    lines = [line for line in Path(text).read_text(encoding="utf-8").split("\n") if line]
    encoded = (tokenizer(lines[start : start + 10_000])["input_ids"] for start in range(0, len(lines), 10_000))
    ids = np.concatenate([np.fromiter((i for line in part for i in line), np.int32) for part in encoded])
    np.save(blocks, ids[: len(ids) // seq_length * seq_length].reshape(-1, seq_length))


def main(job: dict[str, Any]) -> None:
    """Trains, and saves the model beside its vocabulary."""
    import torch
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(job["seed"])
    shape = {("num_hidden_layers" if name == "num_layers" else name): size for name, size in job["shape"].items()}
    config = BertConfig(vocab_size=job["vocab_size"], max_position_embeddings=job["seq_length"], **shape)
    blocks = np.load(job["prepared"], mmap_mode="r")

    class Blocks(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(blocks)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"input_ids": blocks[index].astype(np.int64)}

    tokenizer = _tokenizer(job["vocab"])
    arguments = TrainingArguments(
        output_dir=f"{job['output']}.trainer",
        max_steps=job["steps"],
        per_device_train_batch_size=job["batch"],
        learning_rate=job["rate"],
        warmup_steps=round(job["warmup"] * job["steps"]),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=job["seed"],
        logging_steps=job["steps"],
    )
    model = BertForMaskedLM(config)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    Trainer(model=model, args=arguments, train_dataset=Blocks(), data_collator=collator).train()
    model.save_pretrained(job["output"])
    tokenizer.save_pretrained(job["output"])


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        text_, vocab_, seq_length_, blocks_ = sys.argv[2:]
        prepare(text_, vocab_, int(seq_length_), blocks_)
    else:
        main(json.loads(sys.argv[1]))
