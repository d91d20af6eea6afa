"""Texts, vocabulary and corpora of a comparison, made once, outside of the clock."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.quality.recipes import HUGGING_FACE, SEQ_LENGTH, Data, Recipe
from bench.texts import read_documents
from bench.turns import ROOT

# What is held out: of a small text a part, of a large one enough for 50,000 predictions. By the documents' hashes, so
# that no copy of one is trained on.
_MOST_HELD_OUT, _HELD_OUT_BYTES = 0.1, 1.25e6
EVALUATION = (
    *("--pairing", "doc-sentences", "--short-seq-prob", "0", "--dupe-factor", "1"),
    *("--validation-fraction", "0.9"),  # A corpus needs documents to train on as well.
)


def prepare(text: Path, test: Path | None, recipes: Iterable[Recipe], data: Data) -> None:
    """Makes what is not there yet.

    Args:
        text: what recipes are tuned on; a part of its documents is held out as "tune".
        test: text of another source, which no choice was made on, "test".
        recipes: what is to be trained.
        data: where it is all kept, and the size of the vocabulary, which is learned from the training text.
    """
    folder = data.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not data.train_text.exists():
        documents = list(_documents(text))
        share = min(_MOST_HELD_OUT, _HELD_OUT_BYTES / text.stat().st_size)
        held_out = [document for document in documents if _is_held_out(document, share)]
        _write(held_out, folder / "tune.txt")
        if test is not None:
            _write(_documents(test), folder / "test.txt")
        _write((document for document in documents if not _is_held_out(document, share)), data.train_text)
    if not data.vocab.exists():
        _mlm(
            "vocab",
            "--input",
            data.train_text,
            "--format",
            "bert",
            "--output",
            data.vocab,
            "--vocab-size",
            data.vocab_size,
        )
    for name in ("tune", "test"):
        if (folder / f"{name}.txt").exists():
            _corpus(data, folder / f"{name}.txt", EVALUATION, folder / f"evaluation-{name}")
    for recipe in recipes:
        if recipe.program == "run_mlm":
            if not (folder / "run_mlm.npy").exists():
                script = Path(__file__).parent / "run_mlm.py"
                words = ["prepare", data.train_text, data.vocab, SEQ_LENGTH, folder / "run_mlm.npy"]
                subprocess.run([HUGGING_FACE, script, *map(str, words)], check=True)
        else:
            options = (*recipe.corpus, "--validation-fraction", "0")
            _corpus(data, data.train_text, options, data.corpus(recipe.corpus))


def _documents(path: Path) -> Iterator[str]:
    """The documents of a file, one sentence per line."""
    return map("\n".join, read_documents(path))


def _is_held_out(document: str, share: float) -> bool:
    # Salted: `corpus` draws its validation documents by their hash as well.
    return int.from_bytes(hashlib.sha256(f"held out {document}".encode()).digest()[:4], "big") < share * 2**32


def _write(documents: Iterable[str], path: Path) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{document}\n\n" for document in documents if document)
    partial.rename(path)


def _corpus(data: Data, text: Path, options: Sequence[str], output: Path) -> None:
    """Makes a corpus; a finished one with these options is left as it is."""
    length = () if "--max-seq-length" in options else ("--max-seq-length", SEQ_LENGTH)
    _mlm("corpus", "--input", text, "--format", "bert", "--vocab", data.vocab, "--output", output, *length, *options)


def _mlm(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, words), "--no-progress"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
