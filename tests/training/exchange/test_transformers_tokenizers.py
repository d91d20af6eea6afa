"""Hugging Face's `AutoTokenizer` loads what we export of a tokenizer.json, and gives the ids that we train on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from oracles.tokenizer_files import KINDS, make_tokenizer_file

from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files
from pipeline.tokenizers import make_tokenizer
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [
        sentence
        for path in source_files(STANDARD_LIBRARY)
        if path.parent.name in ("email", "pydoc_data", "asyncio")
        for document in documents(path)[0]
        for sentence in document
    ]


@pytest.fixture(scope="module")
def models(make_trained: Any, texts: list[str]) -> dict[str, Any]:
    made = {}
    for kind in KINDS:
        vocabulary = make_tokenizer_file(kind, texts, 900)
        tokenizer = make_tokenizer(vocabulary)
        trained = make_trained(vocab_size=tokenizer.vocab_size)
        made[kind] = dataclasses.replace(trained, tokenizer=tokenizer, vocabulary=vocabulary)
    return made


@pytest.fixture(scope="module")
def exported(
    peer_environment: Any,
    run_script: Any,
    models: dict[str, Any],
    texts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder that the script has worked on."""
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "ours").mkdir()
    for kind, trained in models.items():
        export_huggingface(trained, str(folder / "ours" / kind))
    (folder / "texts.json").write_text(json.dumps(texts))
    run_script(peer_environment("huggingface"), "tokenizers_script.py", str(folder))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_are_the_same_there(exported: Path, models: dict[str, Any], texts: list[str], kind: str) -> None:
    tokenizer = models[kind].tokenizer
    found = json.loads((exported / "ids.json").read_text())[kind]
    special = dict(tokenizer.special_ids)
    assert found["special"] == special
    assert found["max_length"] == 24
    batch = tokenizer.encode(texts)
    for number, theirs in enumerate(found["ids"]):
        ours = batch.ids[batch.row_splits[number] : batch.row_splits[number + 1]].tolist()
        # Those of RoBERTa's file are cut after 6 tokens by its own setting, which transformers leaves to its caller.
        assert theirs == [special["cls"], *ours, special["sep"]], texts[number]
    assert found["masked"] == [
        special["cls"],
        *tokenizer.encode_with_masks("The value [MASK] is"),
        special["sep"],
    ]
    assert (exported / "ours" / kind / "tokenizer.json").read_bytes() == models[kind].vocabulary


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "gemma"])
def test_the_folder_is_a_model_here(exported: Path, models: dict[str, Any], texts: list[str], kind: str) -> None:
    loaded = load_trained(str(exported / "ours" / kind))
    assert loaded.vocabulary == models[kind].vocabulary
    assert loaded.tokenizer.describe() == models[kind].tokenizer.describe()
