"""Exports a trained model to TensorFlow's formats: the whole model for serving, and its encoder for fine-tuning."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline import files
from pipeline.errors import ConfigError, OutputError
from pipeline.training.exchange.output_folder import new_folder
from pipeline.training.exchange.random_inputs import random_inputs
from pipeline.training.exchange.text_signatures import text_signatures, why_no_text
from pipeline.training.exchange.trained_model import TrainedModel
from pipeline.training.exchange.weights import use_trained_pooler
from pipeline.training.text_ops.exact import check_text_ops, text_ops

ENCODER, SAVED_MODEL = "encoder.keras", "saved_model"
TOLERANCE = 1e-4  # Largest difference between outputs of the model and of the export.
_ENCODED = ("sequence_output", "pooled_output")
_TEXTS = ["A [MASK] text.", "", "[MASK][MASK] and another, longer one with [MASK]"]  # For comparing signatures.


def export_saved_model(
    trained: TrainedModel, output: str, *, text: bool = True, top_k: int = 5, prose: Iterable[str] = ()
) -> str | None:
    """Writes a SavedModel, which `tf.saved_model.load` and TensorFlow Serving load without this project.

    Its signatures take int32 tensors by name. "serving_default" takes `input_word_ids`, `input_mask`, `input_type_ids`
    `[batch, seq_length]` and `masked_lm_positions` `[batch, num_predictions]`, and returns `mlm_logits` `[batch,
    num_predictions, vocab_size]`, `sequence_output`, `pooled_output`, and the logits of each head by its name. "encode"
    takes the first three and returns `sequence_output` and `pooled_output`. The vocabulary is in assets.extra. With
    `text`, "tokenize", "encode_text" and "fill_mask" take strings; see `text_signatures`. A program must then import
    `tensorflow_text` before it loads the model. The result is loaded again, and must give the same outputs.

    Args:
        trained: the model.
        output: a folder, which must not exist, or be empty.
        text: whether to add the signatures that take text.
        top_k: number of tokens that "fill_mask" returns for each mask, from 1 to the size of the vocabulary.
        prose: texts that must get the same tokens in the graph as from the tokenizer, in addition to those of
            `check_text_ops`.

    Returns:
        The reason why there are no signatures that take text, as a clause; None if there are, or `text` is false.

    Raises:
        ConfigError: if `top_k` is out of range.
        OutputError: if it cannot be written, or its outputs differ.
        VocabularyError: if tensorflow-text does not give the same tokens as the tokenizer.
    """
    if not 1 <= top_k <= trained.tokenizer.vocab_size:
        raise ConfigError(f"top_k must be between 1 and {trained.tokenizer.vocab_size}", received=top_k)
    reason = why_no_text(trained.tokenizer) if text else None
    model, ops = trained.model, None
    of_text: Mapping[str, Any] = {}
    use_trained_pooler(model)
    if text and not reason:
        ops = text_ops(trained.tokenizer)
        check_text_ops(ops, trained.tokenizer, prose)
        of_text = text_signatures(model, trained.tokenizer, ops, top_k)
    inputs = random_inputs(model)
    expected = model(inputs, training=False)
    names = sorted(name for name in expected if name != "encoder_outputs")
    encoder_inputs = tuple(model.encoder_network.inputs)
    encoded = _encoded(expected)
    with new_folder(output) as folder:
        signatures = {"serving_default": (tuple(inputs), names, model), "encode": (encoder_inputs, encoded, model)}
        _write_saved_model(model, folder, signatures, of_text, ops)
        _write_vocabulary(trained, files.join(folder, "assets.extra"))
        loaded = tf.saved_model.load(folder)
        _check(_signature(loaded, "serving_default")(**inputs), expected, names)
        _check(_signature(loaded, "encode")(**_only(inputs, encoder_inputs)), expected, encoded)
        for name, function in of_text.items():
            computed = function(tf.constant(_TEXTS))
            numbers = [key for key, value in computed.items() if value.dtype != tf.string]
            _check(_signature(loaded, name)(text=_TEXTS), computed, numbers)
    return reason


def export_encoder(trained: TrainedModel, output: str) -> None:
    """Writes the encoder alone: encoder.keras, saved_model/, the vocabulary and tokenizer.json, which describes it.

    If the vocabulary is itself a tokenizer.json, the description is in tokenizer_description.json.

    encoder.keras is for fine-tuning with this project installed (see docs/fine-tuning.md), the SavedModel for computing
    features without it. The pooler is that of the next-sentence head, if there is one. Both are loaded again, and must
    give the same outputs.

    Raises:
        OutputError: if it cannot be written, or its outputs differ.
    """
    encoder = trained.model.encoder_network
    use_trained_pooler(trained.model)
    names = tuple(encoder.inputs)
    inputs = _only(random_inputs(trained.model), names)
    expected = encoder(inputs, training=False)
    encoded = _encoded(expected)
    with new_folder(output) as folder:
        encoder.save(files.join(folder, ENCODER))
        path = files.join(folder, SAVED_MODEL)
        _write_saved_model(encoder, path, {"serving_default": (names, encoded, encoder)})
        _write_vocabulary(trained, folder)
        _check(_signature(tf.saved_model.load(path), "serving_default")(**inputs), expected, encoded)
        loaded = keras.saving.load_model(files.join(folder, ENCODER), compile=False)
        _check(loaded(inputs, training=False), expected, encoded)


def _encoded(outputs: Mapping[str, Any]) -> list[str]:
    """Returns the names of an encoder's outputs; some encoders have no pooler."""
    return [name for name in _ENCODED if name in outputs]


def _write_saved_model(
    model: Any,
    folder: str,
    signatures: Mapping[str, tuple[Sequence[str], Sequence[str], Any]],
    of_text: Mapping[str, Any] | None = None,
    ops: Any = None,
) -> None:
    """Writes a SavedModel with signatures that take named tensors, and others that take strings.

    Args:
        model: the model that the functions use.
        folder: where to write.
        signatures: by name: the names of inputs, the names of outputs, and the function.
        of_text: functions of strings `[batch]`, by name.
        ops: the tokenizer that these use.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (inputs, outputs, function) in signatures.items():
        specs = [tf.TensorSpec([None, None], tf.int32, name=key) for key in inputs]
        archive.add_endpoint(name, _endpoint(inputs, outputs, function), input_signature=specs)
    if of_text:
        archive.track(ops)
    for name, function in (of_text or {}).items():
        archive.add_endpoint(name, function, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    archive.write_out(folder, verbose=False)


def _endpoint(inputs: Sequence[str], outputs: Sequence[str], function: Any) -> Any:
    def endpoint(*tensors: Any) -> dict[str, Any]:
        computed = function(dict(zip(inputs, tensors, strict=True)), training=False)
        return {name: computed[name] for name in outputs}

    return endpoint


def _signature(loaded: Any, name: str) -> Any:
    # The signature alone would not keep the loaded model alive.
    return lambda **inputs: (
        loaded,
        loaded.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()}),
    )[1]


def _check(found: Mapping[str, Any], expected: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        difference = float(np.abs(np.asarray(found[name]) - np.asarray(expected[name])).max())
        if not difference <= TOLERANCE:  # Also true for NaN.
            raise OutputError(
                f"The exported model's {name} differs from the trained model's by more than {TOLERANCE}",
                received=f"a difference of {difference:.3g}",
                do="Nothing was exported. If the model's weights are finite, this is a bug in this program",
            )


def _write_vocabulary(trained: TrainedModel, folder: str) -> None:
    description = trained.tokenizer.describe()
    files.make_directory(folder)
    files.write_atomically(files.join(folder, description.vocab_file), trained.vocabulary)
    text = json.dumps(dataclasses.asdict(description), indent=1) + "\n"
    name = "tokenizer.json" if description.vocab_file != "tokenizer.json" else "tokenizer_description.json"
    files.write_atomically(files.join(folder, name), text.encode())


def _only(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: values[name] for name in names}
