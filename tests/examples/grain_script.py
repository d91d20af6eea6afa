"""What test_grain_data.py runs where Grain is: `grain_script.py CORPUS OUTPUT`.

Writes the batches that examples/grain_data.py reads, of one process and of several, to a pickle file.
"""

from __future__ import annotations

import itertools
import json
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grain
import grain_data
import numpy as np

from pipeline.reader import Corpus


def load(dataset: Iterable[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """The batches; Grain's worker processes give them in memory of its own."""
    return [{name: np.array(column) for name, column in batch.items()} for batch in dataset]


def main(corpus: str) -> dict[str, list[dict[str, np.ndarray]]]:
    def dataset(**options: Any) -> Any:
        return grain_data.dataset(Corpus(corpus).batches(24, seed=1, epochs=2), **options)

    found = {"one thread": load(dataset(threads=1)), "three threads": load(dataset(threads=3))}
    found["two workers"] = load(dataset().mp_prefetch(grain.MultiprocessingOptions(num_workers=2)))
    iterator = iter(dataset())
    found["before the stop"] = load(itertools.islice(iterator, 50))
    state = json.loads(json.dumps(iterator.get_state()))
    found["after it"] = load(iterator)
    iterator.set_state(state)
    found["set back"] = load(iterator)
    other = iter(dataset(threads=1))
    other.set_state(state)
    found["restarted"] = load(other)
    for processes in (2, 3):
        for process in range(processes):
            found[f"{process} of {processes}"] = load(dataset(process=process, processes=processes))
    return found


if __name__ == "__main__":
    assert not sys.modules.keys() & {"tensorflow", "apache_beam"}
    Path(sys.argv[2]).write_bytes(pickle.dumps(main(sys.argv[1])))
