"""A corpus, for any consumer of its examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline import files
from pipeline.reader.batches import OrderedBatches, Reading, ShuffledBatches, check_batch_size
from pipeline.reader.masks import masks_of
from pipeline.reader.source import RecordSource, open_corpus, open_files
from pipeline.records.decoding import first_record


class Corpus(Sequence[dict[str, np.ndarray]]):
    """The examples of a corpus, by numpy alone.

    ```python
    corpus = Corpus("out/corpus")
    len(corpus)                                  # Examples.
    corpus[5]["input_word_ids"]                  # int32 [S].
    batches = corpus.batches(32, seed=1)         # Shuffled.
    batches[1000]["masked_lm_ids"]               # int32 [32, P], of step 1,000.
    for batch in batches: ...
    ```

    Examples and batches are dictionaries by v2 feature names, of int32 and float32 arrays: see docs/records.md.
    Examples without masks get those of their first epoch; in batches, they get others in each epoch.

    Args:
        path: the directory of a corpus, or TFRecord files and globs of them.
        split: "train" or "validation", of a corpus.
        seed: of masks that are drawn at reading.

    Raises:
        InputError: if nothing is found.
        CorpusError: if the corpus is unfinished or damaged.
    """

    def __init__(self, path: str | Sequence[str], split: str = "train", *, seed: int = 0) -> None:
        self.source = _open(path, split)
        self._seed = seed
        self._reading = Reading(trim=False, masks=[masks_of(self.source, seed)])
        self._in_order = OrderedBatches([self.source], 1, reading=self._reading)

    def __len__(self) -> int:
        return self.source.examples

    def __getitem__(self, index: Any) -> Any:
        """Returns an example, of arrays `[length]`; for a slice, a list of them."""
        if isinstance(index, slice):
            return list(self._rows(range(*index.indices(len(self)))))
        return next(self._rows([index]))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Returns examples by their numbers, reading each chunk once; PyTorch's `DataLoader` calls this."""
        return list(self._rows(indices))

    def _rows(self, indices: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
        numbers = np.asarray(indices, np.int64)
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"There are {len(self):,} examples.")
        found: list[dict[str, np.ndarray]] = [{}] * len(numbers)
        for rows, slots in self._in_order.of_examples(numbers):
            columns = self._in_order.read(0, slots)
            for place, row in enumerate(rows.tolist()):
                found[row] = {name: column[place] for name, column in columns.items()}
        yield from found

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int | None = None,
        epochs: float = 1,
        window: int | None = None,
        trim: bool = False,
    ) -> OrderedBatches | ShuffledBatches:
        """Returns the corpus's batches.

        Args:
            batch_size: examples of a batch.
            shuffle: whether to shuffle; otherwise, each example comes once, in order.
            seed: of the order; None for that of the masks.
            epochs: how often to read the corpus; shuffled alone.
            window: examples that are shuffled together, after all chunks were; see `ShuffledBatches`.
            trim: whether sequences are cut behind the last token of the longest one, to a multiple of 8.

        Raises:
            ConfigError: for a number out of range.
        """
        check_batch_size(batch_size)
        reading = Reading(trim=trim, masks=self._reading.masks)
        if not shuffle:
            return OrderedBatches([self.source], batch_size, reading=reading)
        seed = self._seed if seed is None else seed
        return ShuffledBatches([self.source], batch_size, seed=seed, epochs=epochs, window=window, reading=reading)


def _open(path: str | Sequence[str], split: str) -> RecordSource:
    from pipeline.manifest import MANIFEST_NAME

    if isinstance(path, str) and files.exists(files.join(path, MANIFEST_NAME)):
        return open_corpus(path, split)
    infos = files.match([path] if isinstance(path, str) else path)
    return open_files(infos, first_record(infos[0].path)[1])
