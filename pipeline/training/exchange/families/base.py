"""The interface of a family of Hugging Face models: its configuration, weight names, and computation."""

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
# This project's names of activations, by Hugging Face's. Their "gelu" is exact; ours, as in the original BERT, is the
# tanh approximation.
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
    """The models of one transformers module; stateless.

    Attributes:
        model_type: its name in config.json.
        title: its name in messages.
        prefix: the prefix of the encoder's weight names, which files of the encoder alone omit.
        mlm_head: the prefixes of the masked-LM head's weight names.
        next_sentence: the dense layer of the next-sentence head; None if the family has no such head.
        pooler: the dense layer of the pooler; None if it has none.
        copies: weights that files may contain twice, by the names of the copies.
        fixed: the keys of config.json for which only one value is supported.
        required: the keys that config.json must have.
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
        """Returns the config.json of a model.

        Args:
            config: the model's configuration, resolved.
            special_ids: the ids of the tokenizer's special tokens.

        Raises:
            ConfigError: if the family cannot represent the model.
        """

    @abc.abstractmethod
    def from_config(self, values: Mapping[str, Any], *, source: str, has_next_sentence: bool) -> PretrainerConfig:
        """Returns the configuration of the model that a config.json describes.

        Args:
            values: the contents of the file.
            source: its name, for messages.
            has_next_sentence: whether the weights include a next-sentence head.

        Raises:
            InputError: if the model is not supported, or a key is missing.
        """

    @abc.abstractmethod
    def slots(self, model: BertPretrainerV2) -> Iterator[Slot]:
        """Yields the weights that pre-training uses.

        The pooler is that of the next-sentence head, which is trained; without that head there is none.
        """

    @abc.abstractmethod
    def compute(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, np.ndarray],
        batch: Mapping[str, np.ndarray],
        positions: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Computes the logits in numpy as Hugging Face does, from the files of a folder alone.

        Exports are verified with it: it shares no code with the trained model.

        Args:
            config: the contents of config.json.
            weights: the contents of model.safetensors.
            batch: `input_ids`, `attention_mask`, and, if the family has them, `token_type_ids`, integers
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
        """Yields the weights of the encoder's own pooler, for fine-tuning."""
        if self.pooler is not None and model.encoder_network.pooler_layer is not None:
            yield from dense_slots(self.pooler, model.encoder_network.pooler_layer)

    def to_files(self, weights: dict[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Converts the weights of `slots` to those of the file; `config` is the config.json."""
        return weights

    def from_files(self, weights: dict[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Converts the weights of a file to those of `slots`."""
        return weights

    def is_encoders(self, name: str) -> bool:
        """Returns whether a weight belongs to the encoder, other than its pooler."""
        return name.startswith(self.prefix) and (self.pooler is None or not name.startswith(f"{self.pooler}."))

    def check_config(self, values: Mapping[str, Any], source: str) -> None:
        """Checks the keys of a config.json that must be present or have one value in all supported models.

        Raises:
            InputError: naming the key.
        """
        for name, wanted in self.fixed.items():
            if values.get(name, wanted) != wanted:
                raise InputError(
                    f"{source}: only {self.title} encoders with {name} {wanted!r} are supported",
                    received=repr(values[name]),
                )
        missing = [name for name in self.required if name not in values]
        if missing:
            raise InputError(f"{source} has no {', '.join(missing)}")

    def refuse_unless(self, wanted: Iterable[tuple[str, Any, Any]]) -> None:
        """Refuses to export a model that the family cannot compute.

        Args:
            wanted: names of options, their values, and the only values that the family supports.

        Raises:
            ConfigError: naming the first option with another value.
        """
        for name, value, required in wanted:
            if value != required:
                raise ConfigError(
                    f"Hugging Face's {self.title} supports only {name} {required!r}",
                    received=repr(value),
                    do=SAVED_MODEL_ADVICE,
                )

    def their_activation(self, name: str) -> str:
        """Returns Hugging Face's name of an activation.

        Raises:
            ConfigError: if there is none.
        """
        for theirs, ours in ACTIVATIONS.items():
            if ours == name:
                return theirs
        raise ConfigError(
            f"Hugging Face's {self.title} supports only the activations {', '.join(sorted(set(ACTIVATIONS.values())))}",
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
            f"Hugging Face's {family.title} has no next_sentence head, which this model has",
            do=advice,
        )


def our_activation(values: Mapping[str, Any], name: str, *, default: str, source: str) -> str:
    """Returns this project's name of an activation in a config.json.

    Raises:
        InputError: if it is not supported.
    """
    theirs = values.get(name, default)
    if not isinstance(theirs, str) or theirs not in ACTIVATIONS:
        raise InputError(f"{name} in {source} must be one of {', '.join(ACTIVATIONS)}", received=repr(theirs))
    return ACTIVATIONS[theirs]


@contextlib.contextmanager
def describing(source: str) -> Iterator[None]:
    """Converts the errors of a configuration to one that names the file it came from.

    Raises:
        InputError: if a value is out of range.
    """
    try:
        yield
    except (ConfigError, TypeError) as error:
        raise InputError(f"The model that {source} describes cannot be built", received=str(error)) from error


def next_sentence_head(model: Any) -> Any:
    """Returns the next-sentence head; None if the model has none."""
    return next((head for head in model.classification_heads if head.name == NEXT_SENTENCE), None)
