"""How much memory a step needs, and in how many parts a batch fits.

The estimate counts float32 numbers that the backward pass needs, and the temporary ones beside them. `h` is the hidden
size, `i` the width between a block's dense layers (twice that if they are gated), `k` the keys that a query is compared
with. A pass over some examples needs

    tokens x layers x (16 h + 5 i)                 hidden states, norms, dropout, the activation
    tokens x layers x heads x k x 2.75             attention: logits, probabilities, what dropout leaves of them
    tokens x length x 6                            of packed rows: which tokens are of one sequence
    predictions x vocabulary x 5                   the masked-LM logits, their softmax and their gradients

beside the weights, their gradients, those of the parts so far and two moments: 8 numbers for each weight.
`tests/training/test_memory.py` compares it with the peak of a process.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import Corpora
from pipeline.training.encoder_base import BaseEncoderConfig

_FLOAT = 4  # Bytes.
_PROGRAM = 1.2e9  # TensorFlow, the graph, and the batches that are read ahead.
_UNLIMITED = 2**60  # What control groups without a limit have is more.


class Pass(NamedTuple):
    """What goes through the model at once.

    Attributes:
        examples: of a batch or a part of it.
        length: tokens of an example, padding included.
        predictions: of an example.
        packed: whether rows hold several sequences.
    """

    examples: int
    length: int
    predictions: int
    packed: bool


class Fit(NamedTuple):
    """How a batch is computed.

    Attributes:
        parts: passes, one after another.
        needed: about how many bytes that takes; None for an encoder whose shape is not known.
        available: bytes of the device's memory that a run may take; None where that is not known.
    """

    parts: int
    needed: float | None
    available: float | None

    def note(self) -> str | None:
        """What to tell the user if the memory is too small."""
        if self.needed is None or self.available is None or self.needed <= self.available:
            return None
        return (
            f"a step needs about {self.needed / 1e9:.1f} GB, more than the {self.available / 1e9:.1f} GB of memory"
            " that this run should use: the operating system may kill it without an error message. In another run,"
            " lower --batch-size, or raise trainer.accumulation_steps"
        )


def weights_of(encoder: BaseEncoderConfig, vocab_size: int) -> float | None:
    """About how many weights an encoder has; None if its configuration has other names than BERT's."""
    shape = _shape_of(encoder)
    if shape is None:
        return None
    layers, _, inner = shape
    hidden, width = encoder.hidden_size, getattr(encoder, "embedding_size", None) or encoder.hidden_size
    blocks = 1 if encoder.type == "albert" else layers
    return vocab_size * width + blocks * (4 * hidden**2 + hidden * (inner + getattr(encoder, "intermediate_size", 0)))


def pass_bytes(encoder: BaseEncoderConfig, vocab_size: int, shape: Pass, *, training: bool = True) -> float | None:
    """About how many bytes a pass takes beside the weights; None if that is not known.

    Args:
        encoder: the encoder's options.
        vocab_size: entries of the vocabulary.
        shape: what goes through it.
        training: whether it goes back as well. If not, the numbers of a block are forgotten after the next one.
    """
    found = _shape_of(encoder)
    if found is None:
        return None
    layers, heads, inner = found
    layers = layers if training else min(layers, 2)
    tokens = shape.examples * shape.length
    keys = sum(_keys(encoder, number, shape.length) for number in range(layers))
    numbers: float = tokens * layers * (16 * encoder.hidden_size + 5 * inner)
    numbers += tokens * heads * keys * 2.75
    numbers += tokens * shape.length * 6 * shape.packed
    numbers += shape.examples * shape.predictions * vocab_size * 5
    return numbers * _FLOAT


def step_bytes(
    encoder: BaseEncoderConfig, vocab_size: int, passes: Sequence[Pass], *, training: bool = True
) -> float | None:
    """About how many bytes a run holds during the largest of some passes; None if that is not known.

    Args:
        encoder: the encoder's options.
        vocab_size: entries of the vocabulary.
        passes: what goes through it, one after another.
        training: whether they go back as well; see `pass_bytes`.
    """
    weights = weights_of(encoder, vocab_size)
    of_each = [pass_bytes(encoder, vocab_size, shape, training=training) for shape in passes]
    if weights is None:
        return None
    return _PROGRAM + 8 * _FLOAT * weights + max(size for size in of_each if size is not None)


def _shape_of(encoder: BaseEncoderConfig) -> tuple[int, int, int] | None:
    """Layers, heads, and the width between a block's dense layers."""
    names = ("num_layers", "num_attention_heads", "intermediate_size")
    if not all(hasattr(encoder, name) for name in names):
        return None
    layers, heads, inner = (int(getattr(encoder, name)) for name in names)
    return layers, heads, inner if getattr(encoder, "mlp", "dense") == "dense" else 2 * inner


def _keys(encoder: BaseEncoderConfig, layer: int, length: int) -> int:
    """Keys that a query of a layer is compared with; see `modeling.local_attention`."""
    window = getattr(encoder, "local_attention", None)
    if window is None or layer % getattr(encoder, "global_attention_every", 1) == 0:
        return length
    return min(length, 4 * window)


def fit(
    config: ExperimentConfig, corpora: Corpora, *, replicas: int, available: float | None, held: int | None = None
) -> Fit:
    """In how many parts a batch is computed: as the configuration says, or in as few as the memory allows.

    Args:
        config: the experiment, whose stages are those of `corpora`.
        corpora: what it is trained on.
        replicas: devices that share a batch.
        available: bytes that each of them may take; None where that is not known.
        held: the parts of the run that is continued, which a configuration that leaves them open keeps.
    """
    data, trainer, encoder = config.task.train_data, config.trainer, config.task.model.encoder
    vocab_size = corpora.manifest.tokenizer.vocab_size
    batches = [
        (stage.global_batch_size or data.global_batch_size if stage else data.global_batch_size, read)
        for stage, read in zip(data.stages or [None], corpora.stages, strict=True)
    ]

    def needed(parts: int) -> float | None:
        passes = [_pass_of(read, -(-examples // (replicas * parts))) for examples, read in batches]
        return step_bytes(encoder, vocab_size, passes)

    parts = held if trainer.accumulation_steps is None else trainer.accumulation_steps
    if parts is None:
        possible = _divisors(math.gcd(*data.named_batch_sizes().values()), replicas)
        parts = next((p for p in possible if _fits(needed(p), available)), possible[-1])
    return Fit(parts, needed(parts), available)


def evaluation_batch(config: ExperimentConfig, corpora: Corpora, *, replicas: int, available: float | None) -> int:
    """How many examples are evaluated at once: those of a batch, or as many of them as the memory allows."""
    size, encoder = config.task.validation_data.global_batch_size, config.task.model.encoder
    vocab_size, read = corpora.manifest.tokenizer.vocab_size, corpora.stages[-1]

    def needed(parts: int) -> float | None:
        return step_bytes(encoder, vocab_size, [_pass_of(read, size // (replicas * parts))], training=False)

    possible = _divisors(size, replicas)
    return size // next((parts for parts in possible if _fits(needed(parts), available)), possible[-1])


def _pass_of(read: Corpora, examples: int) -> Pass:
    """A pass over so many of a corpus's longest examples."""
    spec = read.manifest.spec
    return Pass(examples, spec.max_seq_length, spec.max_predictions_per_seq, spec.packed)


def _fits(needed: float | None, available: float | None) -> bool:
    return needed is None or available is None or needed <= available


def _divisors(size: int, replicas: int) -> Sequence[int]:
    """Into how many parts each replica's share of a batch divides, from 1 on."""
    share = size // replicas if size % replicas == 0 else 1  # If not, that is refused elsewhere.
    return [parts for parts in range(1, share + 1) if share % parts == 0]


# === What there is ===


def available_memory(replicas: int) -> float | None:
    """How many bytes a run may take of the memory of each of its devices; None where TensorFlow does not tell.

    It is a share of all that there is, not of what is free now, so that the same machine gives the same run again. The
    rest is for other programs and for fragmentation.

    Args:
        replicas: devices that share a batch; those of a CPU share its memory as well.
    """
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return None
    if tf.config.list_logical_devices("GPU"):
        total = _gpu_memory()
        return None if total is None else 0.85 * total
    return 0.5 * host_memory() / replicas


def _gpu_memory() -> int | None:
    """Bytes of the first GPU, from NVIDIA's driver: TensorFlow tells only what it has used so far."""
    import ctypes

    import tensorflow as tf

    for device in tf.config.list_physical_devices("GPU")[:1]:
        limits = [part.memory_limit for part in tf.config.get_logical_device_configuration(device) or []]
        if limits and limits[0]:
            return int(limits[0] * 2**20)
    device, total = ctypes.c_int(), ctypes.c_size_t()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0)
        failed = failed or driver.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    except (OSError, AttributeError):
        return None
    return None if failed else total.value


def host_memory(root: str = "/") -> int:
    """Bytes of this machine's memory, or of what a control group, such as a container's, leaves of it.

    Args:
        root: where the file systems of the kernel are.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    groups = Path(root, "sys/fs/cgroup")
    try:
        lines = Path(root, "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, name = (groups, "memory.max") if not controllers else (groups / "memory", "memory.limit_in_bytes")
        inner = top / path.strip("/")
        # Limits of the groups above hold as well. Within a container, its own group is the top one.
        for group in [inner, *inner.parents]:
            if group == groups.parent:
                break
            with contextlib.suppress(OSError, ValueError):
                found.append(int((group / name).read_text()))
    return min(size for size in found if 0 < size < _UNLIMITED)
