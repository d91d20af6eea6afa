"""Models of the hub, by the real library, from a server of its protocol on this machine."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oracles.hub import Hub, serving_hub, use_hub

from pipeline import hub as models
from pipeline.cli import main
from pipeline.errors import ConfigError, InputError, VocabularyError
from pipeline.hub import fetch, is_hub_name, pins
from pipeline.tokenizers.vocabulary import SPECIAL_TOKENS, find_vocabulary

NAME = "someone/tiny"
WORDS = "".join(f"{token}\n" for token in [*SPECIAL_TOKENS, ".", "the", "sea", "is", "wide"]).encode()
FILES = {
    "config.json": b"{}",
    "vocab.txt": WORDS,
    "tokenizer_config.json": b'{"do_lower_case": true}',
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"a pickle",
    "tf_model.h5": b"others",
    "README.md": b"words",
    "onnx/model.safetensors": b"others",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and an empty cache; the working directory holds nothing."""
    with serving_hub() as served:
        served.commit(NAME, FILES)
        use_hub(served.endpoint, tmp_path, monkeypatch)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        yield served


def test_only_what_is_needed_is_downloaded(hub: Hub) -> None:
    first = fetch(NAME, weights=False)
    assert hub.downloads() == ["config.json", "tokenizer_config.json", "vocab.txt"]
    model = fetch(NAME)
    assert model == first
    assert hub.downloads() == ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    assert (Path(model.folder) / "model.safetensors").read_bytes() == b"weights"
    assert not (Path(model.folder) / "onnx").exists()


def test_a_revision_is_noted_with_its_commit_and_stays(hub: Hub) -> None:
    first = fetch(NAME).name.rpartition("@")[2]
    assert fetch(NAME).name == f"{NAME}@{first}"
    other = hub.commit(NAME, FILES | {"config.json": b'{"a": 1}'}, branch="refs/pr/1")
    assert fetch(f"{NAME}@refs/pr/1").name == f"{NAME}@refs/pr/1@{other}"
    moved = hub.commit(NAME, FILES | {"config.json": b'{"b": 1}'})
    assert fetch(NAME).name == f"{NAME}@{moved}"
    hub.asked.clear()
    for name in (f"{NAME}@{first}", f"{NAME}@refs/pr/1@{other}"):
        assert fetch(name).name == name
    assert hub.asked == []  # They are in the cache.
    assert (Path(fetch(f"{NAME}@{first}").folder) / "config.json").read_bytes() == b"{}"
    assert pins(f"{NAME}@{first}", NAME)
    assert pins(f"{NAME}@refs/pr/1@{other}", f"{NAME}@refs/pr/1")
    assert not pins(f"{NAME}@{first}", f"{NAME}@{first}")
    assert not pins(f"{NAME}@refs/pr/1@{other}", NAME)


def test_without_a_network_the_cache_serves_whole_models(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    vocabulary = fetch(NAME, weights=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(NAME, weights=False) == vocabulary
    with pytest.raises(
        InputError,
        match=r"HF_HUB_OFFLINE is set, and the cache has no complete copy.* hf download someone/tiny --local-dir",
    ):
        fetch(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    whole = fetch(NAME)
    # A server that does not answer.
    use_hub("http://127.0.0.1:9", tmp_path, monkeypatch)
    assert fetch(NAME) == whole
    with pytest.raises(InputError, match=r"someone/else is not a local directory, and the hub cannot be reached"):
        fetch("someone/else")


def test_what_cannot_be_had_is_said_in_a_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no/such is neither a local directory nor a model of the hub .* HF_TOKEN"):
        fetch("no/such")
    with pytest.raises(InputError, match=rf"no revision 'v9' of {NAME}. .* --revision v9 --local-dir FOLDER"):
        fetch(f"{NAME}@v9")
    hub.gated.add(NAME)
    with pytest.raises(InputError, match=r"only to users who have accepted its terms. Received: no token"):
        fetch(NAME)
    hub.commit("a/private", FILES)
    hub.tokens["a/private"] = "secret"
    with pytest.raises(InputError, match=r"a/private is neither .* Received: no token"):
        fetch("a/private")
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert fetch("a/private").name.startswith("a/private@")


def test_weights_that_are_not_read_are_refused_before_a_download(hub: Hub) -> None:
    hub.commit("an/old-one", {name: data for name, data in FILES.items() if name != "model.safetensors"})
    with pytest.raises(InputError, match=r"has no model.safetensors. Received: pytorch_model.bin, tf_model.h5"):
        fetch("an/old-one")
    assert hub.downloads() == []
    hub.commit("a/shifted", {"config.json": b"{}", "model.safetensors": b"", "sentencepiece.bpe.model": b""})
    with pytest.raises(InputError, match=r"has no tokenizer.json"):
        fetch("a/shifted")


def test_what_is_here_is_no_name_of_the_hub(hub: Hub) -> None:
    assert is_hub_name(NAME)
    assert is_hub_name(f"{NAME}@refs/pr/1")
    for path in ("run", "out/run/checkpoints", "/out/run", "./out/run", "texts/vocab.txt", "gs://bucket/run", "a/b c"):
        assert not is_hub_name(path)
    os.makedirs("someone/mine")
    assert not is_hub_name("someone/mine")
    assert not is_hub_name(NAME)  # Misspelled: its directory is here.
    assert is_hub_name(f"{NAME}@main")


def test_without_the_library_a_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(
        ConfigError, match=r"need the package huggingface_hub. .* pip install 'mlm-pipeline\[hub\]'.*FOLDER"
    ):
        models.fetch(NAME)


def test_the_variables_of_the_library_count(hub: Hub, tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, read by the library in a process of its own."""
    script = f"from pipeline.hub import fetch; print(fetch({NAME!r}).folder)"
    given = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    path = str(Path(__file__).parents[1])
    environment = {**os.environ, **given, "PYTHONPATH": path}
    done = [
        subprocess.run(
            [sys.executable, "-c", script], env={**environment, **more}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for more in ({}, {"HF_HUB_OFFLINE": "1"})
    ]
    assert done[0] == done[1]
    assert done[0].startswith(f"{tmp_path}/home/hub/models--someone--tiny/snapshots/")


def test_a_vocabulary_is_that_of_a_folder_or_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    assert Path(find_vocabulary(NAME)).read_bytes() == WORDS
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(VocabularyError, match=r"must hold a vocabulary: vocab.txt, .* an empty directory"):
        find_vocabulary(str(folder))
    (folder / "tokenizer.json").write_text("{}")
    assert find_vocabulary(str(folder)) == str(folder / "tokenizer.json")
    (folder / "vocab.txt").write_bytes(WORDS)
    assert find_vocabulary(str(folder)) == str(folder / "vocab.txt")
    assert find_vocabulary("nowhere.txt") == "nowhere.txt"


def test_a_corpus_is_made_with_the_vocabulary_of_a_model(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(["The sea is wide.\nThe sea is the sea."] * 8))
    command = ["corpus", "--input", str(tmp_path / "text.txt"), "--vocab", NAME, "--max-seq-length", "16"]
    command += ["--output", str(tmp_path / "corpus"), "--format", "bert", "--no-progress", "--workers", "1"]
    assert main(command) == 0
    assert (tmp_path / "corpus" / "vocab.txt").read_bytes() == WORDS
    assert "model.safetensors" not in hub.downloads()
