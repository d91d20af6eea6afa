"""The tokenizer's files of a Hugging Face folder."""

from __future__ import annotations

import codecs
import json
from typing import Any

from pipeline import files
from pipeline.errors import ConfigError
from pipeline.tokenizers import HuggingFaceTokenizer, SentencePieceTokenizer, Tokenizer
from pipeline.training.exchange.hf_sentencepiece import sentencepiece_parts

_CHARS_OF_A_WORD = 200  # google-research/bert's limit, and ours; Hugging Face's own default is 100.


def tokenizer_files(tokenizer: Tokenizer, vocabulary: bytes, *, max_length: int) -> dict[str, bytes]:
    """The vocabulary, tokenizer.json, tokenizer_config.json and special_tokens_map.json, by their names.

    A tokenizer.json is kept as it is.

    Args:
        tokenizer: the tokenizer.
        vocabulary: the bytes of its vocabulary file.
        max_length: the model's longest sequence, in tokens.

    Raises:
        ConfigError: if Hugging Face has no such tokenizer.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return _kept_tokenizer(tokenizer, vocabulary, max_length)
    special = {f"{name}_token": tokenizer.tokens[index] for name, index in tokenizer.special_ids.items()}
    settings = {"do_lower_case": tokenizer.lower_case, "model_max_length": max_length, **special}
    if isinstance(tokenizer, SentencePieceTokenizer):
        parts = sentencepiece_parts(tokenizer, vocabulary)
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # It does what tokenizer.json says.
    else:
        parts = _wordpiece_parts(tokenizer)
        # Accents go with capitals.
        settings |= {"tokenizer_class": "BertTokenizer", "strip_accents": None, "tokenize_chinese_chars": True}
    values = {
        "tokenizer.json": _whole_tokenizer(tokenizer, parts),
        "tokenizer_config.json": settings,
        "special_tokens_map.json": special,
    }
    written = {name: _json(value) for name, value in values.items()}
    # To other readers, a byte order mark would be part of the first token.
    return {tokenizer.describe().vocab_file: vocabulary.removeprefix(codecs.BOM_UTF8), **written}


def _kept_tokenizer(tokenizer: HuggingFaceTokenizer, vocabulary: bytes, max_length: int) -> dict[str, bytes]:
    """The files of a tokenizer that was Hugging Face's from the start."""
    if tokenizer.lower_case:
        raise ConfigError(
            "An exported tokenizer.json must give the model's ids",
            received="a corpus whose text was lower-cased before its tokenizer saw it (--lower-case)",
            do="Put a Lowercase normalizer into the tokenizer.json, and make the corpus with that instead",
        )
    special = {f"{name}_token": tokenizer.tokens[index] for name, index in tokenizer.own_special_ids.items()}
    # transformers would otherwise remove spaces before marks when it decodes.
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    return {
        "tokenizer.json": vocabulary,
        "tokenizer_config.json": _json({**settings, "model_max_length": max_length, **special}),
        "special_tokens_map.json": _json(special),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write_tokenizer(contents: dict[str, bytes], folder: str) -> None:
    """Writes what `tokenizer_files` gave."""
    for name, data in contents.items():
        files.write_atomically(files.join(folder, name), data)


def _wordpiece_parts(tokenizer: Tokenizer) -> dict[str, Any]:
    """The parts of a tokenizer.json that do WordPiece's work."""
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": tokenizer.lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": tokenizer.tokens[tokenizer.special_ids["unk"]],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _CHARS_OF_A_WORD,
            # An empty line of a vocabulary takes its id, and is no token.
            "vocab": {token: index for index, token in enumerate(tokenizer.tokens) if token},
        },
    }


def _whole_tokenizer(tokenizer: Tokenizer, parts: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json: the parts, the special tokens, and where they are put."""
    ids = {tokenizer.tokens[index]: index for index in tokenizer.special_ids.values()}
    mask, cls, sep = (tokenizer.tokens[tokenizer.special_ids[name]] for name in ("mask", "cls", "sep"))
    strips = isinstance(tokenizer, SentencePieceTokenizer)  # White space before a mask belongs to what it hides.
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": strips and token == mask,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token, index in sorted(ids.items(), key=lambda item: item[1])
    ]
    first = [_template("SpecialToken", cls, 0), _template("Sequence", "A", 0), _template("SpecialToken", sep, 0)]
    second = [_template("Sequence", "B", 1), _template("SpecialToken", sep, 1)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": first,
            "pair": first + second,
            "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)},
        },
        **parts,
    }


def _template(kind: str, name: str, type_id: int) -> dict[str, Any]:
    return {kind: {"id": name, "type_id": type_id}}
