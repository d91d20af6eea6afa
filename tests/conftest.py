"""What the tests share: a tiny vocabulary, and text made up on the spot."""

from __future__ import annotations

import fcntl
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

# As the command line does: TensorFlow's notes on start-up are of no use in a report.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# How long an example takes says nothing on a busy machine. The same examples in every run: a failure comes again.
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is found by reading records is kept for a session, not in the user's own cache."""
    os.environ["MLM_PIPELINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that is built from it, as a release is made."""
    folder = tmp_path_factory.mktemp("distributions")
    # What git knows: nothing that only lies about here.
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "tree" / name)

    def build(what: str, tree: Path) -> None:
        script = f"from setuptools import build_meta; build_meta.build_{what}({str(folder)!r})"
        subprocess.run([sys.executable, "-c", script], cwd=tree, capture_output=True, check=True)

    build("sdist", folder / "tree")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    build("wheel", folder / "unpacked" / sdist.name.removesuffix(".tar.gz"))
    return folder


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NOUNS = "river mountain captain ship garden letter window horse doctor village winter stranger lantern harbour".split()
VERBS = "carries follows watches finds remembers crosses leaves reaches opens answers".split()
ADJECTIVES = "old quiet bright narrow distant patient broken golden curious weary".split()
SMALL_WORDS = "the a of to in and with for from on but that it was this".split()


@pytest.fixture(scope="session")
def vocabulary_tokens() -> list[str]:
    """An uncased vocabulary: every letter and digit can be spelled; half of the words are whole, others in pieces."""
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = SMALL_WORDS + NOUNS[::2] + VERBS[::2] + ADJECTIVES[::2]
    pieces = ["##s", "##es", "##er", "##in", "##ing", "##ed", "##ent", "##ous", "##ter", "##our"]
    letters = [c for c in characters if c not in words] + [f"##{c}" for c in characters if f"##{c}" not in pieces]
    return [*SPECIAL, "[unused0]", "[unused1]", *".,;:!?'\"-()[]", *letters, *pieces, *words]


@pytest.fixture(scope="session")
def vocabulary(vocabulary_tokens: list[str]) -> bytes:
    """The bytes of its file."""
    return "".join(f"{token}\n" for token in vocabulary_tokens).encode()


@pytest.fixture(scope="session")
def vocabulary_path(vocabulary: bytes, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_bytes(vocabulary)
    return str(path)


@pytest.fixture(scope="session")
def documents() -> list[list[str]]:
    """Sixty documents of 1 to 14 sentences; the same in every run."""
    draw = random.Random(20190524)
    return [[_sentence(draw) for _ in range(draw.randint(1, 14))] for _ in range(60)]


def _sentence(draw: random.Random) -> str:
    def phrase() -> str:
        return f"{draw.choice(['the', 'a', 'this'])} {draw.choice(ADJECTIVES)} {draw.choice(NOUNS)}"

    parts = [f"{phrase()} {draw.choice(VERBS)} {phrase()}"]
    parts += [f"{draw.choice(['and', 'but', 'of', 'with'])} {phrase()}" for _ in range(draw.randint(0, 4))]
    return " ".join(parts).capitalize() + draw.choice(".....!?")


@pytest.fixture(scope="session")
def bert_text(documents: list[list[str]]) -> str:
    """The documents in BERT's own format."""
    return "\n\n".join("\n".join(document) for document in documents) + "\n"


@pytest.fixture(scope="session")
def write_texts(bert_text: str) -> Callable[[Path], str]:
    """Writes the documents into a directory, in two files of BERT's format."""

    def write(folder: Path) -> str:
        folder.mkdir()
        half = bert_text.index("\n\n", len(bert_text) // 3)
        (folder / "one.txt").write_text(bert_text[:half] + "\n")
        (folder / "two.txt").write_text(bert_text[half:].lstrip())
        return str(folder)

    return write


@pytest.fixture
def text_files(tmp_path: Path, write_texts: Callable[[Path], str]) -> str:
    """A directory of text of this test's own."""
    return write_texts(tmp_path / "texts")


@pytest.fixture(scope="session")
def _object_store_kind() -> type:
    """A file system of fsspec's without directories, as object stores are, in the memory of this process."""
    import fsspec

    class ObjectStore(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = "teststore"
        objects: ClassVar[dict[str, bytes]] = {}

        def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
            path = self._strip_protocol(path)
            names = {url.removeprefix("teststore://"): len(data) for url, data in sorted(self.objects.items())}
            found = {name: {"name": name, "size": size, "type": "file"} for name, size in names.items() if name == path}
            for name, size in () if found else names.items():
                if name.startswith(f"{path}/"):
                    child, rest, _ = name[len(path) + 1 :].partition("/")
                    below = f"{path}/{child}"
                    found[below] = {"name": below, "size": size, "type": "directory" if rest else "file"}
            if not found:
                raise FileNotFoundError(path)
            return list(found.values() if detail else found)

        def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
            objects, url = self.objects, f"teststore://{path}"
            if mode == "rb":
                if url not in objects:
                    raise FileNotFoundError(path)
                return io.BytesIO(objects[url])

            class Upload(io.BytesIO):
                def close(self) -> None:
                    if not self.closed:
                        objects[url] = self.getvalue()
                    super().close()

            return Upload()

        def mv(self, path1: str, path2: str, **_: Any) -> None:
            assert f"teststore://{path2}" not in self.objects
            self.objects[f"teststore://{path2}"] = self.objects.pop(f"teststore://{path1}")

        def rm_file(self, path: str) -> None:
            if self.objects.pop(f"teststore://{path}", None) is None:
                raise FileNotFoundError(path)

    fsspec.register_implementation("teststore", ObjectStore, clobber=True)
    return ObjectStore


@pytest.fixture
def object_store(_object_store_kind: Any) -> Iterator[dict[str, bytes]]:
    """The objects of teststore://, by path; empty at first."""
    _object_store_kind.objects.clear()
    yield _object_store_kind.objects
    _object_store_kind.objects.clear()


@pytest.fixture(scope="session")
def peer_environment() -> Callable[[str], Path]:
    """Makes another project's environment, if it is not there, by its target of the Makefile; gives its directory."""
    root = Path(__file__).parents[1]

    def make(target: str) -> Path:
        (root / "out").mkdir(exist_ok=True)
        with open(root / "out" / f"{target}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # The tests of several files may want it at the same time.
            done = subprocess.run(["make", target], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return root / "out" / target

    return make
