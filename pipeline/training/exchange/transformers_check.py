"""Computes the logits of an exported model with transformers: a script that runs in a separate process.

TensorFlow and PyTorch each contain a copy of LLVM, and a process with two copies crashes. The script imports nothing
from this project, so that any Python with transformers can run it.
"""

from __future__ import annotations

import sys

# Masked-LM models call their only logits "logits", and ALBERT calls those of its sentence order "sop_logits".
_NAMES = {"logits": "prediction_logits", "sop_logits": "seq_relationship_logits"}


def main(folder: str, batch_path: str, output_path: str) -> None:
    """Computes the logits of a batch.

    Args:
        folder: a Hugging Face folder.
        batch_path: an .npz file of the model's inputs, such as `input_ids`, int64 `[batch, seq_length]`, and
            `positions`, int64 `[batch, n]`.
        output_path: the .npz file to write: `prediction_logits` `[batch, n, vocab_size]`, and for a model with a
            next-sentence head `seq_relationship_logits` `[batch, 2]`.
    """
    import numpy as np
    import torch
    import transformers

    architecture = transformers.AutoConfig.from_pretrained(folder).architectures[0]
    model = getattr(transformers, architecture).from_pretrained(folder)
    model.eval()
    batch = dict(np.load(batch_path))
    positions = batch.pop("positions")
    with torch.no_grad():
        outputs = model(**{name: torch.from_numpy(values) for name, values in batch.items()})
    logits = {_NAMES.get(name, name): value.numpy() for name, value in outputs.items()}
    logits["prediction_logits"] = np.take_along_axis(logits["prediction_logits"], positions[..., None], axis=1)
    np.savez(output_path, **logits)


if __name__ == "__main__":
    main(*sys.argv[1:])
