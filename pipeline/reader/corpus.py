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
    """Reads the examples of a corpus, one at a time or in batches, with NumPy alone.

    Examples and batches are dictionaries of int32 and float32 arrays. The keys are the v2 feature names that
    `docs/records.md` lists. The arrays of an example have the shape `[length]`, those of a batch
    `[batch_size, length]`.

    If the corpus holds no masks (`--masking dynamic`), they are drawn while reading. Shuffled batches have a new mask
    in each epoch. Otherwise, an example always has the mask of its first epoch.

    Args:
        path: the directory of a corpus; or a TFRecord file, a glob, or a list of them, such as the records of
            google-research/bert.
        split: "train" or "validation"; only used for a corpus.
        seed: any integer, the seed of the masks that are drawn while reading. It is also the default seed of the order
            of batches.

    Raises:
        InputError: if no file is found.
        CorpusError: if the corpus is unfinished or damaged.

    Example:

    ```python
    from pipeline.reader import Corpus

    corpus = Corpus("out/corpus")
    len(corpus)  # The number of examples.
    corpus[5]["input_word_ids"].shape  # (128,)

    batches = corpus.batches(32, seed=1)
    len(batches)  # The number of steps in an epoch.
    batches[100]["masked_lm_ids"].shape  # (32, 20), of step 100.
    for batch in batches:
        print(batch["input_word_ids"].shape)  # (32, 128)
    ```
    """

    def __init__(self, path: str | Sequence[str], split: str = "train", *, seed: int = 0) -> None:
        self.source = _open(path, split)
        self._seed = seed
        self._reading = Reading(trim=False, masks=[masks_of(self.source, seed)])
        self._in_order = OrderedBatches([self.source], 1, reading=self._reading)

    def __len__(self) -> int:
        return self.source.examples

    def __getitem__(self, index: Any) -> Any:
        """Returns an example, with arrays `[length]`, or a list of examples for a slice.

        Raises:
            IndexError: if there is no such example.
            CorpusError: if a record is damaged.
        """
        if isinstance(index, slice):
            return list(self._rows(range(*index.indices(len(self)))))
        return next(self._rows([index]))

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Returns several examples by their numbers, reading each chunk only once; PyTorch's `DataLoader` calls this.

        Raises:
            IndexError: if one of the examples does not exist.
            CorpusError: if a record is damaged.
        """
        return list(self._rows(indices))

    def _rows(self, indices: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
        numbers = np.asarray(indices, np.int64)
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"Example number out of range: there are {len(self):,} examples.")
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
        """Returns the batches of the corpus, as a sequence that is indexed by the step.

        Args:
            batch_size: the number of examples in a batch, at least 1.
            shuffle: whether to shuffle the examples. If false, each example comes once, in the order of the files, and
                the last batch, or the last one of each bin of lengths, may be smaller.
            seed: any integer, the seed of the order; by default, the seed of the corpus. Only used with `shuffle`.
            epochs: how often to read the corpus, above 0; may be fractional. Only used with `shuffle`.
            window: how many examples to shuffle together once the order of all chunks is shuffled, at least 1; by
                default, 32,768, or 8 million tokens' worth if that is fewer. Only used with `shuffle`.
            trim: whether to cut the sequences of each batch after the last token of the longest one, rounded up to a
                multiple of 8. Packed rows are not cut.

        Returns:
            A sequence: `batches[step]` reads a batch, `len(batches)` is the number of steps, and
            `batches.iterator(step)` returns an iterator whose state can be saved.

        Raises:
            ConfigError: if `batch_size`, `epochs` or `window` is out of range.
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
