"""Reads a tokenizer.json of Hugging Face's tokenizers: its special tokens, and a copy of it that encodes plain text."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import VocabularyError

# The names of each role, the usual first: of BERT and ModernBERT, of RoBERTa and XLM-R, and of others.
NAMES = {
    "pad": ("[PAD]", "<pad>", "<|pad|>"),
    "unk": ("[UNK]", "<unk>", "<|unk|>"),
    "cls": ("[CLS]", "<s>", "<cls>", "<bos>"),
    "sep": ("[SEP]", "</s>", "<sep>", "<eos>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
}
# A JSON object with a key. No vocabulary of one token per line begins like this: BERT cuts text at each mark.
_OBJECT = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"[^"\n]*"\s*:')
_BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")
_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>|madeupword\d+")


def is_tokenizer_file(data: bytes) -> bool:
    """Returns whether the bytes of a vocabulary are a JSON object, as in a tokenizer.json."""
    return _OBJECT.match(data) is not None


def is_unused(token: str) -> bool:
    """Returns whether an entry is a placeholder: "[unused0]" of BERT, "madeupword0000" of fairseq."""
    return _UNUSED.fullmatch(token) is not None


def is_byte_piece(token: str) -> bool:
    """Returns whether an entry stands for a byte of a character that is no entry: "<0xE4>"."""
    return _BYTE_PIECE.fullmatch(token) is not None


def parse_tokenizer_file(data: bytes, *, name: str) -> dict[str, Any]:
    """Parses a tokenizer.json.

    Args:
        data: the file's bytes.
        name: the name of the file in messages.

    Raises:
        VocabularyError: if it is not a tokenizer.json.
    """
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise VocabularyError(
            f"{name} must be the tokenizer.json of a Hugging Face tokenizer",
            received=f"damaged JSON: {error}",
            do="Copy the file again",
        ) from error
    if isinstance(values.get("model"), dict) and isinstance(values.get("added_tokens", []), list):
        return dict(values)
    if values and all(isinstance(value, int) for value in values.values()):
        received = "the vocab.json of a tokenizer, which lacks its merges and rules"
    else:
        received = f"a JSON object of {', '.join(list(values)[:4]) or 'nothing'}"
    raise VocabularyError(
        f"{name} must be the tokenizer.json of a Hugging Face tokenizer",
        received=received,
        do="transformers writes one for any tokenizer:"
        ' AutoTokenizer.from_pretrained("FOLDER").save_pretrained("FOLDER")',
    )


def find_special(
    values: Mapping[str, Any], ids: Mapping[str, int], stated: Mapping[str, str | int], *, name: str
) -> dict[str, int]:
    """Finds the special tokens: as stated, as the file's own rules use them, or by their usual names.

    Args:
        values: a parsed tokenizer.json.
        ids: the ids of all tokens.
        stated: tokens or ids by role, such as those of tokenizer_config.json.
        name: the name of the file in messages.

    Returns:
        Ids by role; "unk" only if there is one of its own.

    Raises:
        VocabularyError: if one of "pad", "cls", "sep" and "mask" is missing, or is another one's too.
    """
    in_use = _in_use(values)
    found: dict[str, int] = {}
    for role, names in NAMES.items():
        if isinstance(stated.get(role), int):
            found[role] = int(stated[role])
            continue
        for token in (stated.get(role), in_use.get(role), *names):
            if role not in found and token in ids:
                found[role] = ids[str(token)]
    missing = [f"{role} ({', '.join(names)})" for role, names in NAMES.items() if role != "unk" and role not in found]
    if missing:
        raise VocabularyError(
            f"{name} must contain special tokens for padding, classification, separation and masks",
            received=f"{len(ids):,} tokens, without {'; '.join(missing)}",
            do="Use the tokenizer of a masked language model, or name its tokens in a tokenizer_config.json beside it,"
            ' as in {"mask_token": "<mask>"}',
        )
    if found.get("unk") in [found[role] for role in NAMES if role != "unk"]:
        del found["unk"]  # GPT-2's end of text, for example, has several roles, and no text becomes it.
    if len(set(found.values())) < len(found):
        raise VocabularyError(
            f"{name} must contain a separate token for each of padding, classification, separation and masks",
            received=", ".join(f"{role}: {index}" for role, index in found.items()),
        )
    return found


def stated_special(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the special tokens by role that a tokenizer_config.json states."""
    tokens = {role: config.get(f"{role}_token") for role in NAMES}
    contents = {role: token.get("content") if isinstance(token, dict) else token for role, token in tokens.items()}
    return {role: content for role, content in contents.items() if isinstance(content, str)}


def _in_use(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the special tokens by role that the file's own rules put around text, pad with, or replace text by."""
    found: dict[str, str] = {}
    for rule in _rules(values.get("post_processor")):
        if rule.get("type") in ("BertProcessing", "RobertaProcessing"):
            found |= {role: rule[role][0] for role in ("cls", "sep")}
        elif rule.get("type") == "TemplateProcessing":
            before_text = True
            for part in rule.get("single", ()):
                before_text = before_text and "Sequence" not in part
                if "SpecialToken" in part:
                    token = part["SpecialToken"]["id"]
                    tokens = rule.get("special_tokens", {}).get(token, {}).get("tokens") or [token]
                    found.setdefault("cls" if before_text else "sep", tokens[0])
    if isinstance(values.get("padding"), dict):
        found["pad"] = values["padding"].get("pad_token", "")
    model = values["model"]
    if isinstance(model.get("unk_id"), int) and model["unk_id"] < len(model["vocab"]):
        found["unk"] = model["vocab"][model["unk_id"]][0]
    elif isinstance(model.get("unk_token"), str):
        found["unk"] = model["unk_token"]
    return found


def _rules(rule: Any) -> Iterator[Mapping[str, Any]]:
    """Yields a rule of a tokenizer.json, or those that it is a sequence of."""
    if not isinstance(rule, dict):
        return
    for key in ("processors", "normalizers", "pretokenizers", "decoders"):
        if isinstance(rule.get(key), list):
            for part in rule[key]:
                yield from _rules(part)
            return
    yield rule


def rules_of(values: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    """Returns the rules of a part of a tokenizer.json, such as "pre_tokenizer", without sequences around them."""
    return list(_rules(values.get(part)))


def spells_everything(values: Mapping[str, Any], ids: Mapping[str, int]) -> bool:
    """Returns whether the model has a token for each byte, so that no text is unknown to it."""
    model = values["model"]
    if model.get("byte_fallback") and all(f"<0x{byte:02X}>" in ids for byte in range(256)):
        return True
    return model_type(values) == "BPE" and is_byte_level(values) and all(symbol in ids for symbol in byte_symbols())


def is_byte_level(values: Mapping[str, Any]) -> bool:
    """Returns whether tokens are spelled in symbols for bytes."""
    rules = [*rules_of(values, "pre_tokenizer"), *rules_of(values, "normalizer")]
    return any(rule.get("type") == "ByteLevel" for rule in rules)


def model_type(values: Mapping[str, Any]) -> str:
    """Returns the type of the model: "BPE", "WordPiece", "Unigram" or "WordLevel"; older files lack it."""
    model = values["model"]
    if "merges" in model:
        return "BPE"
    guess = "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"
    return str(model.get("type", "Unigram" if isinstance(model.get("vocab"), list) else guess))


def byte_symbols() -> list[str]:
    """Returns the symbols of byte-level tokenizers by byte: printable characters, as GPT-2's encoder.py has them."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in shown]
    return [chr(byte if byte in shown else 256 + others.index(byte)) for byte in range(256)]


@functools.cache
def symbol_bytes() -> Mapping[str, int]:
    """Returns the bytes of `byte_symbols`, by their symbols."""
    return {symbol: byte for byte, symbol in enumerate(byte_symbols())}


def bytes_of(token: str) -> bytes:
    """Returns the bytes that a token of a byte-level tokenizer stands for.

    Raises:
        ValueError: if it holds something else than symbols of bytes.
    """
    try:
        return bytes(map(symbol_bytes().__getitem__, token))
    except KeyError as error:
        raise ValueError(f"{token!r} must contain only symbols of bytes") from error


def for_plain_text(values: Mapping[str, Any], special: Mapping[str, int], *, mask: str = "") -> str:
    """Returns the JSON of a tokenizer that gives the same ids, but for which no text spells a special token.

    For this, special tokens have other names there, of characters that are not text. Rules that would cut, pad or
    surround text, or make ids random (BPE dropout), are left out.

    Args:
        values: a parsed tokenizer.json.
        special: the special tokens, with their ids; they need not be added tokens of the file.
        mask: one of them that text does spell; any other keeps none of its meaning.

    Returns:
        The JSON.
    """
    model = {name: value for name, value in values["model"].items() if name != "dropout"}
    added = [dict(token) for token in values.get("added_tokens") or ()]
    secret = hashlib.sha256(json.dumps(sorted(special.items())).encode()).hexdigest()
    kept = {mask, model.get("unk_token")}
    hidden = {token: f"\uffff{secret}\uffff{index}\uffff" for token, index in special.items() if token not in kept}
    for token in added:
        if token["content"] in hidden:
            # Not normalized: the name is looked for in text as it comes, where it never is.
            token |= {"content": hidden[token["content"]], "normalized": False}
    if mask and mask not in [token["content"] for token in added]:
        settings = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        added.append({"id": special[mask], "content": mask, **settings})
        added.sort(key=lambda token: int(token["id"]))
    vocab = model.get("vocab")
    if isinstance(vocab, list):
        model["vocab"] = [[hidden.get(token, token), score] for token, score in vocab]
    elif isinstance(vocab, dict):
        model["vocab"] = {hidden.get(token, token): index for token, index in vocab.items()}
    if isinstance(model.get("merges"), list):
        model["merges"] = [merge for merge in model["merges"] if not _makes(merge, hidden)]
    left_out = dict.fromkeys(("truncation", "padding", "post_processor"))
    return json.dumps({**values, **left_out, "added_tokens": added, "model": model})


def _makes(merge: Any, hidden: Mapping[str, str]) -> bool:
    """Returns whether a merge has to do with a hidden token; merges are "a b" or ["a", "b"]."""
    left, _, right = merge.partition(" ") if isinstance(merge, str) else (merge[0], "", merge[1])
    return not hidden.keys().isdisjoint((left, right, left + right))
