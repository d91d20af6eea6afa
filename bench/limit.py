"""Measures a lower bound for a corpus job: its text tokenized once by tensorflow-text, its bytes written once.

    python bench/limit.py TEXT CORPUS VOCAB

Prints the CPU seconds of both as JSON, without start-up and reading the records.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

_SENTENCES_A_CALL = 8192


def main(text: str, corpus: str, vocab: str) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # Before TensorFlow starts its threads.
    from pipeline.quiet import start_tensorflow

    start_tensorflow()
    import tensorflow as tf
    import tensorflow_text as tf_text

    tokens = Path(vocab).read_text().split("\n")[:-1]
    tokenizer = tf_text.FastBertTokenizer(tokens, token_out_type=tf.int32, lower_case_nfd_strip_accents=True)
    sentences = list(filter(None, Path(text).read_text().split("\n")))
    tokenizing = -time.process_time()
    for start in range(0, len(sentences), _SENTENCES_A_CALL):
        tokenizer.tokenize(tf.constant(sentences[start : start + _SENTENCES_A_CALL]))
    tokenizing += time.process_time()
    writing, examples = 0.0, 0
    for shard in sorted(Path(corpus).glob("*.tfrecord")):
        records = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
        examples += len(records)
        writing -= time.process_time()
        with tf.io.TFRecordWriter(f"{corpus}/limit.tmp") as writer:
            for record in records:
                writer.write(record)
        writing += time.process_time()
    Path(corpus, "limit.tmp").unlink()
    print(json.dumps({"examples": examples, "tokenizing": tokenizing, "writing": writing}))


if __name__ == "__main__":
    main(*sys.argv[1:])
