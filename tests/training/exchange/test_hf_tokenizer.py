"""The files of the other kinds are tested in test_hf_export.py, and with Hugging Face's own library in
test_transformers.py and test_transformers_tokenizers.py."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from oracles.tokenizer_files import make_tokenizer_file

from pipeline.errors import ConfigError, CorpusError, VocabularyError
from pipeline.tokenizers import make_tokenizer
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.hf_tokenizer import tokenizer_files
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.start import check_start, read_source


@pytest.fixture(scope="module")
def roberta(documents: list[list[str]]) -> bytes:
    return make_tokenizer_file("roberta", [line for document in documents for line in document], 300)


def test_a_tokenizer_file_is_kept_as_it_is(roberta: bytes) -> None:
    files = tokenizer_files(make_tokenizer(roberta), roberta, max_length=77)
    assert files["tokenizer.json"] == roberta
    settings = json.loads(files["tokenizer_config.json"])
    assert settings["model_max_length"] == 77
    special = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
    assert json.loads(files["special_tokens_map.json"]) == {f"{name}_token": token for name, token in special.items()}
    assert settings.items() >= json.loads(files["special_tokens_map.json"]).items()


def test_a_token_for_unknown_text_is_named_only_if_there_is_one(roberta: bytes) -> None:
    without = roberta.replace(b'"<unk>"', b'"[unused0]"')
    assert "unk_token" not in json.loads(
        tokenizer_files(make_tokenizer(without), without, max_length=9)["tokenizer_config.json"]
    )


def test_text_that_was_lower_cased_before_it_would_get_other_ids_there(roberta: bytes) -> None:
    with pytest.raises(ConfigError, match=r"does not reproduce its token ids: --lower-case .* Lowercase"):
        tokenizer_files(make_tokenizer(roberta, lower_case=True), roberta, max_length=9)


@pytest.fixture(scope="module")
def exported(roberta: bytes, make_trained: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Hugging Face folder whose tokenizer is a tokenizer.json."""
    tokenizer = make_tokenizer(roberta)
    trained = make_trained(vocab_size=tokenizer.vocab_size)
    folder = str(tmp_path_factory.mktemp("exported") / "model")
    export_huggingface(dataclasses.replace(trained, tokenizer=tokenizer, vocabulary=roberta), folder)
    return folder


def test_training_starts_from_a_folder_with_the_corpus_s_tokenizer(
    exported: str, roberta: bytes, documents: list[list[str]], tmp_path: Path
) -> None:
    source = read_source(exported)
    assert source.vocabulary == roberta
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "tokenizer.json").write_bytes(roberta)
    tokenizer = make_tokenizer(roberta).describe()
    check_start(source.config, tokenizer, source, str(corpus))
    other = make_tokenizer_file("roberta", [line for document in documents[:5] for line in document], 300)
    (corpus / "tokenizer.json").write_bytes(other)
    with pytest.raises(CorpusError, match=r"different entries, such as"):
        check_start(source.config, make_tokenizer(other).describe(), source, str(corpus))


def test_a_folder_names_special_tokens_of_its_own(exported: str, roberta: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    shutil.copytree(exported, folder)
    (folder / "tokenizer.json").write_bytes(roberta.replace(b'"<mask>"', b'"<blank>"'))
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(VocabularyError, match="without mask"):
        load_trained(str(folder))
    (folder / "tokenizer_config.json").write_text('{"mask_token": "<blank>"}')
    loaded = load_trained(str(folder)).tokenizer
    assert loaded.tokens[loaded.special_ids["mask"]] == "<blank>"
