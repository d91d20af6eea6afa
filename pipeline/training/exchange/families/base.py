"""What a family of Hugging Face's models is: its configuration, the names of its weights, and its numbers."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families.slots import Slot, dense_slots

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

NEXT_SENTENCE = "next_sentence"
SAVED_MODEL_ADVICE = "Export this model as a SavedModel instead"
# Our names of activations, by Hugging Face's. Theirs of "gelu" is the exact one; BERT's own, and ours, its tanh
# approximation.
ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "gelu": "gelu_exact",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Family(abc.ABC):
    """Models that Hugging Face computes by one module; stateless.

    Attributes:
        model_type: what config.json calls it.
        title: what messages call it.
        prefix: what the encoder's weights' names begin with, which files of the encoder alone leave out.
        mlm_head: what the masked-LM head's weights' names begin with.
        next_sentence: the dense layer of the next-sentence head; None if the family has no such head.
        pooler: the dense layer of the pooler; None if it has none.
        copies: weights that files may hold a second time, by the names of the copies.
        fixed: what config.json may say in one way only.
        required: what config.json must say.
    """

    model_type: ClassVar[str]
    title: ClassVar[str]
    prefix: ClassVar[str]
    mlm_head: ClassVar[tuple[str, ...]]
    next_sentence: ClassVar[str | None] = None
    pooler: ClassVar[str | None] = None
    copies: ClassVar[Mapping[str, str]]
    fixed: ClassVar[Mapping[str, Any]]
    required: ClassVar[tuple[str, ...]] = ("vocab_size", "hidden_size", "num_hidden_layers")

    @abc.abstractmethod
    def to_config(self, config: PretrainerConfig, special_ids: Mapping[str, int]) -> dict[str, Any]:
        """What config.json says of a model.

        Args:
            config: the model's configuration, resolved.
            special_ids: the tokenizer's.

        Raises:
            ConfigError: if the family has no such model.
        """

    @abc.abstractmethod
    def from_config(self, values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
        """Our configuration of a model that config.json describes.

        Args:
            values: what the file holds.
            source: its name, for messages.
            has_next_sentence: whether there is a next-sentence head among the weights.

        Raises:
            InputError: if we have no such model, or something is missing.
        """

    @abc.abstractmethod
    def slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        """The weights that take part in pre-training.

        The pooler is the next-sentence head's, which is the trained one; without that head there is none.
        """

    @abc.abstractmethod
    def compute(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, np.ndarray],
        batch: Mapping[str, np.ndarray],
        positions: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """The logits as Hugging Face computes them, in plain numpy, from the files of a folder alone.

        What an export is checked by: it shares no code with the model that was trained.

        Args:
            config: what config.json holds.
            weights: what model.safetensors holds.
            batch: `input_ids`, `attention_mask`, and where the family has them `token_type_ids`, integers
                `[batch, seq_length]`.
            positions: the positions to score, integers `[batch, n]`.

        Returns:
            `prediction_logits`, float64 `[batch, n, vocab_size]`, and with a next-sentence head
            `seq_relationship_logits`, float64 `[batch, 2]`.
        """

    @property
    def vocabulary_rows(self) -> tuple[str, ...]:
        """The weights with a row for each entry of the vocabulary: the embedding table and the output's bias."""
        return tuple(self.copies.values())

    def pooler_slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        """The weights of the encoder's own pooler, for fine-tuning."""
        if self.pooler is not None and model.encoder_network.pooler_layer is not None:
            yield from dense_slots(self.pooler, model.encoder_network.pooler_layer)

    def to_files(self, weights: dict[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What is written of the weights of `slots`; `config` is what config.json says."""
        return weights

    def from_files(self, weights: dict[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The weights of `slots`, of what a file holds."""
        return weights

    def is_encoders(self, name: str) -> bool:
        """Whether a weight is the encoder's, its pooler apart."""
        return name.startswith(self.prefix) and (self.pooler is None or not name.startswith(f"{self.pooler}."))

    def check_config(self, values: Mapping[str, Any], source: str) -> None:
        """Checks what of a config.json is the same for all of the family's models that can be read.

        Raises:
            InputError: naming what is not, or missing.
        """
        for name, wanted in self.fixed.items():
            if values.get(name, wanted) != wanted:
                raise InputError(
                    f"{source} must describe a {self.title} encoder with {name} {wanted!r}",
                    received=repr(values[name]),
                )
        missing = [name for name in self.required if name not in values]
        if missing:
            raise InputError(f"{source} must tell {', '.join(missing)}")

    def refuse_unless(self, wanted: Iterable[tuple[str, Any, Any]]) -> None:
        """Refuses to export what the family cannot compute.

        Args:
            wanted: names of options, their values, and the only ones that it computes.

        Raises:
            ConfigError: naming the first option with another value.
        """
        for name, value, required in wanted:
            if value != required:
                raise ConfigError(
                    f"Hugging Face's {self.title} computes only models with {name} {required!r}",
                    received=repr(value),
                    do=SAVED_MODEL_ADVICE,
                )

    def their_activation(self, name: str) -> str:
        """Hugging Face's name of an activation.

        Raises:
            ConfigError: if it has none.
        """
        for theirs, ours in ACTIVATIONS.items():
            if ours == name:
                return theirs
        raise ConfigError(
            f"Hugging Face's {self.title} needs an activation out of {', '.join(sorted(set(ACTIVATIONS.values())))}",
            received=repr(name),
            do=SAVED_MODEL_ADVICE,
        )


def refuse_next_sentence(family: Family, config: PretrainerConfig, advice: str) -> None:
    """Refuses a next-sentence head, for a family that has none.

    Raises:
        ConfigError: if there is one.
    """
    if config.has_head(NEXT_SENTENCE):
        raise ConfigError(
            f"Hugging Face's {family.title} computes only models without a next_sentence head",
            received="one with it",
            do=advice,
        )


def our_activation(values: Mapping[str, Any], name: str, *, default: str, source: str) -> str:
    """Our name of the activation that an option of a config.json names.

    Raises:
        InputError: if we have none.
    """
    theirs = values.get(name, default)
    if not isinstance(theirs, str) or theirs not in ACTIVATIONS:
        raise InputError(f"{name} of {source} must be one of {', '.join(ACTIVATIONS)}", received=repr(theirs))
    return ACTIVATIONS[theirs]


@contextlib.contextmanager
def describing(source: str) -> Iterator[None]:
    """Turns what a configuration refuses into an error that names the file it came from.

    Raises:
        InputError: if a value is out of range.
    """
    try:
        yield
    except (ConfigError, TypeError) as error:
        raise InputError(f"{source} describes no model that can be built", received=str(error)) from error


def next_sentence_head(model: Any) -> Any:
    """The next-sentence head; None if the model has none."""
    return next((head for head in model.classification_heads if head.name == NEXT_SENTENCE), None)
