"""The peers' jobs for the benchmarks; runs in their environment (`make peers`).

    out/peers/bin/python bench/peer_jobs.py tensorflow-models TEXT OUT VOCAB SEQ_LENGTH PREDICTIONS COPIES
    out/peers/bin/python bench/peer_jobs.py hugging-face TEXT OUT VOCAB SEQ_LENGTH WORKERS

Each prints the numbers of its examples and tokens as JSON.
"""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path
from typing import Any


def tensorflow_models(text: str, output: str, vocab: str, seq_length: str, predictions: str, copies: str) -> None:
    """Runs create_pretraining_data.py as its documentation does."""
    from absl import app, flags
    from official.nlp.data import create_pretraining_data

    arguments = [
        "create_pretraining_data",
        f"--input_file={text}",
        f"--output_file={output}/theirs.tfrecord",
        f"--vocab_file={vocab}",
        f"--max_seq_length={seq_length}",
        f"--max_predictions_per_seq={predictions}",
        f"--dupe_factor={copies}",
        "--use_v2_feature_names=True",
    ]
    flags.FLAGS.unparse_flags()
    made: list[int] = []
    create = create_pretraining_data.create_training_instances

    def counted(*args: Any) -> Any:
        instances = create(*args)
        made.extend(len(instance.tokens) for instance in instances)
        return instances

    create_pretraining_data.create_training_instances = counted
    try:
        app.run(create_pretraining_data.main, argv=arguments)
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"examples": len(made), "tokens": sum(made)}))


def hugging_face(text: str, output: str, vocab: str, seq_length: str, workers: str) -> None:
    """Does what run_mlm.py does before it trains: tokenizes lines, concatenates them, and cuts them into blocks."""
    import datasets
    from transformers import BertTokenizer

    room = int(seq_length)
    datasets.disable_progress_bars()
    tokenizer = BertTokenizer(vocab=vocab, do_lower_case=True)
    lines = datasets.load_dataset("text", data_files=text, split="train", cache_dir=f"{output}/cache")

    def tokenize(batch: dict[str, list[str]]) -> Any:
        return tokenizer(batch["text"], return_special_tokens_mask=True)

    def group(batch: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {name: list(chain.from_iterable(rows)) for name, rows in batch.items()}
        total = len(joined["input_ids"]) // room * room
        return {name: [row[i : i + room] for i in range(0, total, room)] for name, row in joined.items()}

    tokenized = lines.map(tokenize, batched=True, num_proc=int(workers), remove_columns=["text"])
    grouped = tokenized.map(group, batched=True, num_proc=int(workers))
    print(json.dumps({"examples": len(grouped), "tokens": len(grouped) * room}))


if __name__ == "__main__":
    Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
    {"tensorflow-models": tensorflow_models, "hugging-face": hugging_face}[sys.argv[1]](*sys.argv[2:])
