"""What test_pytorch_data.py runs where PyTorch is: `pytorch_script.py CORPUS OUTPUT`.

Writes the batches that examples/pytorch_data.py loads, of one process and of several, to a pickle file.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_data

from pipeline.reader import Corpus

CASES: dict[str, dict[str, Any]] = {
    "no workers": {},
    "two workers": {"workers": 2},
    "restarted": {"start": 50},
    "restarted with workers": {"start": 50, "workers": 2},
    **{f"rank {rank} of 2": {"rank": rank, "world_size": 2, "workers": rank} for rank in range(2)},
    **{f"rank {rank} of 3": {"rank": rank, "world_size": 3} for rank in range(3)},
}


def load(corpus: str, options: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    batches = Corpus(corpus).batches(24, seed=1, epochs=2)
    loader = pytorch_data.data_loader(batches, **options)
    return [{name: tensor.numpy() for name, tensor in batch.items()} for batch in loader]


if __name__ == "__main__":
    assert not sys.modules.keys() & {"tensorflow", "apache_beam"}
    found = {name: load(sys.argv[1], options) for name, options in CASES.items()}
    Path(sys.argv[2]).write_bytes(pickle.dumps(found))
