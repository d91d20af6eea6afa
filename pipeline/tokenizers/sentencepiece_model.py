"""SentencePiece's model file, a protocol buffer: the fields that this project reads and changes.

The generated classes of the `sentencepiece` package do not work with the protobuf version that TensorFlow requires. The
fields here are those of its sentencepiece_model.proto; all others are kept in the message, unknown and unchanged.
"""

from __future__ import annotations

import functools
from typing import Any

from pipeline.errors import VocabularyError

# ModelProto.SentencePiece.Type.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# TrainerSpec.ModelType; 0 where the field is left out, which means unigrams.
UNIGRAM, BPE = 1, 2

# The fields of each message, with their numbers and types.
_SCHEMA = {
    "Piece": {"piece": (1, "STRING"), "score": (2, "FLOAT"), "type": (3, "INT32")},
    "TrainerSpec": {
        "model_type": (3, "INT32"),
        "vocab_size": (4, "INT32"),
        "byte_fallback": (35, "BOOL"),
        "seed_sentencepieces_file": (54, "STRING"),
    },
    "NormalizerSpec": {
        "precompiled_charsmap": (2, "BYTES"),
        "add_dummy_prefix": (3, "BOOL"),
        "remove_extra_whitespaces": (4, "BOOL"),
        "escape_whitespaces": (5, "BOOL"),
    },
    "Model": {"pieces": (1, "Piece"), "trainer_spec": (2, "TrainerSpec"), "normalizer_spec": (3, "NormalizerSpec")},
}


def is_model(data: bytes) -> bool:
    """Returns whether the bytes of a vocabulary are a SentencePiece model."""
    return data.startswith(b"\n") and _parse(data) is not None


def parse_model(data: bytes, *, name: str) -> Any:
    """Parses a model: `pieces`, each with `piece`, `score` and `type`, `trainer_spec` and `normalizer_spec`.

    Args:
        data: the file's bytes.
        name: the name of the file in messages.

    Raises:
        VocabularyError: if it is not a model, or is damaged.
    """
    model = _parse(data)
    if model is None:
        raise VocabularyError(
            f"{name} must be a SentencePiece model, as written by its trainer",
            received=f"{len(data):,} bytes that are not a model",
            do="Learn one with the vocab command, or copy the file again",
        )
    return model


def _parse(data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        model = _model_class().FromString(data)
    except DecodeError:
        return None
    return model if model.pieces and all(piece.piece for piece in model.pieces) else None


@functools.cache
def _model_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="pipeline/sentencepiece_model.proto", package="pipeline")
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            field = described.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL)
            if kind in _SCHEMA:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".pipeline.{kind}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind}")
            if name == "pieces":
                field.label = kinds.LABEL_REPEATED
            if name == "type":
                field.default_value = str(NORMAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipeline.Model"))
