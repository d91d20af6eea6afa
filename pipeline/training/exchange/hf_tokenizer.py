"""The tokenizer's files of a Hugging Face folder."""

from __future__ import annotations

import json
from typing import Any

from pipeline import files
from pipeline.errors import ConfigError
from pipeline.tokenizers import Tokenizer, WordPieceTokenizer
from pipeline.tokenizers.vocabulary import special_token

_CHARS_OF_A_WORD = 200  # google-research/bert's limit, and ours; Hugging Face's own default is 100.


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Makes sure that Hugging Face has the tokenizer.

    Raises:
        ConfigError: if it has not.
    """
    if not isinstance(tokenizer, WordPieceTokenizer):
        raise ConfigError(
            "Hugging Face's BertTokenizer needs a WordPiece vocabulary",
            received="a model of SentencePiece",
            do="Export this model as a SavedModel instead",
        )


def write_tokenizer(tokenizer: Tokenizer, vocabulary: bytes, folder: str, *, max_length: int) -> None:
    """Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Args:
        tokenizer: the tokenizer, which `check_tokenizer` let pass.
        vocabulary: the bytes of its vocabulary file.
        folder: where to.
        max_length: the model's longest sequence, in tokens.
    """
    special = {f"{name}_token": special_token(name) for name in tokenizer.special_ids}
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.lower_case,
        "strip_accents": None,  # As `do_lower_case`.
        "tokenize_chinese_chars": True,
        "model_max_length": max_length,
        **special,
    }
    files.write_atomically(files.join(folder, "vocab.txt"), vocabulary)
    for name, value in (
        ("tokenizer.json", _fast_tokenizer(tokenizer)),
        ("tokenizer_config.json", settings),
        ("special_tokens_map.json", special),
    ):
        text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        files.write_atomically(files.join(folder, name), text.encode())


def _fast_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """What the tokenizers library calls this tokenizer."""
    ids = {special_token(name): index for name, index in tokenizer.special_ids.items()}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": index, "content": token, **flags} for token, index in sorted(ids.items(), key=lambda x: x[1])]
    cls, sep = (special_token(name) for name in ("cls", "sep"))
    first = [_template("SpecialToken", cls, 0), _template("Sequence", "A", 0), _template("SpecialToken", sep, 0)]
    second = [_template("Sequence", "B", 1), _template("SpecialToken", sep, 1)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": tokenizer.lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": first,
            "pair": first + second,
            "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": special_token("unk"),
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _CHARS_OF_A_WORD,
            # An empty line of a vocabulary takes its id, and is no token.
            "vocab": {token: index for index, token in enumerate(tokenizer.tokens) if token},
        },
    }


def _template(kind: str, name: str, type_id: int) -> dict[str, Any]:
    return {kind: {"id": name, "type_id": type_id}}
