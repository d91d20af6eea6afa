"""Makes the tokenizer files of a Hugging Face folder."""

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
    """Returns the vocabulary, tokenizer.json, tokenizer_config.json and special_tokens_map.json, by file name.

    A vocabulary that is itself a tokenizer.json is not changed.

    Args:
        tokenizer: the tokenizer.
        vocabulary: the bytes of its vocabulary file.
        max_length: the model's longest sequence, in tokens.

    Raises:
        ConfigError: if Hugging Face has no equivalent tokenizer.
    """
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return _kept_tokenizer(tokenizer, vocabulary, max_length)
    special = {f"{name}_token": tokenizer.tokens[index] for name, index in tokenizer.special_ids.items()}
    settings = {"do_lower_case": tokenizer.lower_case, "model_max_length": max_length, **special}
    if isinstance(tokenizer, SentencePieceTokenizer):
        parts = sentencepiece_parts(tokenizer, vocabulary)
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # It follows tokenizer.json.
    else:
        parts = _wordpiece_parts(tokenizer)
        # None: accents are stripped if text is lower-cased.
        settings |= {"tokenizer_class": "BertTokenizer", "strip_accents": None, "tokenize_chinese_chars": True}
    values = {
        "tokenizer.json": _whole_tokenizer(tokenizer, parts),
        "tokenizer_config.json": settings,
        "special_tokens_map.json": special,
    }
    written = {name: _json(value) for name, value in values.items()}
    # Other readers would take a byte order mark as part of the first token.
    return {tokenizer.describe().vocab_file: vocabulary.removeprefix(codecs.BOM_UTF8), **written}


def _kept_tokenizer(tokenizer: HuggingFaceTokenizer, vocabulary: bytes, max_length: int) -> dict[str, bytes]:
    """Returns the files of a tokenizer that is a tokenizer.json."""
    if tokenizer.lower_case:
        raise ConfigError(
            "The model's tokenizer.json does not reproduce its token ids: --lower-case lower-cased the corpus before"
            " tokenization",
            do="Add a Lowercase normalizer to the tokenizer.json, and make the corpus with it instead",
        )
    special = {f"{name}_token": tokenizer.tokens[index] for name, index in tokenizer.own_special_ids.items()}
    # Otherwise, transformers removes spaces before punctuation when it decodes.
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    return {
        "tokenizer.json": vocabulary,
        "tokenizer_config.json": _json({**settings, "model_max_length": max_length, **special}),
        "special_tokens_map.json": _json(special),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write_tokenizer(contents: dict[str, bytes], folder: str) -> None:
    """Writes the result of `tokenizer_files` to a folder."""
    for name, data in contents.items():
        files.write_atomically(files.join(folder, name), data)


def _wordpiece_parts(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the parts of a tokenizer.json that are specific to WordPiece."""
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
            # An empty line of a vocabulary has an id, but is not a token.
            "vocab": {token: index for index, token in enumerate(tokenizer.tokens) if token},
        },
    }


def _whole_tokenizer(tokenizer: Tokenizer, parts: dict[str, Any]) -> dict[str, Any]:
    """Returns a tokenizer.json of these parts, with the special tokens and the template that adds them."""
    ids = {tokenizer.tokens[index]: index for index in tokenizer.special_ids.values()}
    mask, cls, sep = (tokenizer.tokens[tokenizer.special_ids[name]] for name in ("mask", "cls", "sep"))
    strips = isinstance(tokenizer, SentencePieceTokenizer)  # White space before a mask is part of the masked piece.
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
