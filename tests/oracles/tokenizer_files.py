"""Makes tokenizer.json files as other projects' are, with Hugging Face's own trainers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

KINDS = ("roberta", "modernbert", "bert", "xlm-r", "gemma", "clip")


def make_tokenizer_file(kind: str, texts: Sequence[str], vocab_size: int) -> bytes:
    """Learns a tokenizer.

    Args:
        kind: one of `KINDS`: byte-level BPE with <mask> (RoBERTa) or [MASK] (ModernBERT), WordPiece (BERT), unigrams
            (XLM-R), BPE with "▁" and bytes, whose pre-tokenizer cuts nothing (Gemma), or with "</w>" (CLIP).
        texts: what to learn from.
        vocab_size: entries, without the special tokens that are added later.
    """
    tokenizer, trainer = _BEFORE_TRAINING[kind](vocab_size)
    tokenizer.train_from_iterator(texts, trainer)
    mask = "[MASK]" if kind in ("modernbert", "bert") else "<mask>"
    if kind == "modernbert":
        tokenizer.add_tokens([AddedToken("|||IP_ADDRESS|||", normalized=True), AddedToken("  ", normalized=True)])
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[unused0]"] if kind == "modernbert" else []
    tokenizer.add_special_tokens(special)
    # White space before a mask belongs to what it hides.
    tokenizer.add_special_tokens([AddedToken(mask, lstrip=kind not in ("bert", "clip"), normalized=False)])
    cls, sep = ("[CLS]", "[SEP]") if mask == "[MASK]" else ("<bos>", "<eos>") if kind == "gemma" else ("<s>", "</s>")
    ids = {token: tokenizer.token_to_id(token) for token in (cls, sep)}
    if kind == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing((sep, ids[sep]), (cls, ids[cls]))
        tokenizer.enable_truncation(6)
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id("<pad>"), pad_token="<pad>")
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B:1 {sep}:1", special_tokens=list(ids.items())
        )
    values = json.loads(tokenizer.to_str())
    if kind == "gemma":
        # The trainer knows no other way to get a piece for each byte; text that spells one is not one.
        values["added_tokens"] = [token for token in values["added_tokens"] if not token["content"].startswith("<0x")]
        values["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}
        values["pre_tokenizer"]["invert"] = False
    return json.dumps(values, ensure_ascii=False, indent=2 if kind == "bert" else None).encode()


def _byte_bpe(normalizer: Any, special: list[str], size: int) -> tuple[Any, Any]:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": size, "special_tokens": special, "initial_alphabet": alphabet, "show_progress": False}
    return tokenizer, trainers.BpeTrainer(**options)


def _bert(size: int) -> tuple[Any, Any]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return tokenizer, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)


def _xlm_r(size: int) -> tuple[Any, Any]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    options = {"vocab_size": size, "special_tokens": special, "unk_token": "<unk>", "show_progress": False}
    return tokenizer, trainers.UnigramTrainer(**options)


def _gemma(size: int) -> tuple[Any, Any]:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # Only words, while it learns.
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return tokenizer, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)


def _clip(size: int) -> tuple[Any, Any]:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    special = ["<s>", "<pad>", "</s>", "<unk>", "madeupword0000"]
    return tokenizer, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, end_of_word_suffix="</w>", show_progress=False
    )


_BEFORE_TRAINING: Any = {
    "roberta": lambda size: _byte_bpe(None, ["<s>", "<pad>", "</s>", "<unk>"], size),
    "modernbert": lambda size: _byte_bpe(normalizers.NFC(), ["<|padding|>"], size),
    "bert": _bert,
    "xlm-r": _xlm_r,
    "gemma": _gemma,
    "clip": _clip,
}
