from collections import Counter
from pathlib import Path

import pytest

from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files, version


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_module_is_a_document_in_the_order_of_its_source(tmp_path: Path) -> None:
    source = write(
        tmp_path / "module.py",
        '''"""The docstring of the module is here."""
class A:
    """The docstring of the class is here."""

    x = 1
    """The docstring of an attribute is here."""

    def f(self):
        """The docstring of the method is here."""
        return "A string of a single line is not in it."

    async def g(self):
        f"""The parts of {1}
        an f-string are not in it."""

add_newdoc("g", """The docstring of a function
that is written in C is here.""")
''',
    )
    assert documents(source) == (
        [
            [
                "The docstring of the module is here.",
                "The docstring of the class is here.",
                "The docstring of an attribute is here.",
                "The docstring of the method is here.",
                "The docstring of a function that is written in C is here.",
            ]
        ],
        Counter(),
    )


def test_the_topics_of_help_are_documents_of_their_own(tmp_path: Path) -> None:
    topics = "topics = {'a': 'The text of the first topic.\\n', 'b': 'The text of the second.\\n'}"
    found, _ = documents(write(tmp_path / "pydoc_data/topics.py", topics))
    assert found == [["The text of the first topic."], ["The text of the second."]]


def test_documentation_files(tmp_path: Path) -> None:
    found, _ = documents(write(tmp_path / "README.md", "# Title\r\n\r\nThis is what it\r\nis for.\r\n"))
    assert found == [["This is what it is for."]]


@pytest.mark.parametrize("content", [b"def f(:", b"x = '\xff'", b"x\0"])
def test_counts_files_that_cannot_be_parsed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "module.py"
    path.write_bytes(content)
    assert documents(path) == ([], Counter({"file that cannot be parsed": 1}))


def test_counts_files_that_are_missing(tmp_path: Path) -> None:
    assert documents(tmp_path / "module.py") == ([], Counter({"file that cannot be read": 1}))


def test_the_standard_library_without_its_tests() -> None:
    names = [path.as_posix() for path in source_files(STANDARD_LIBRARY)]
    assert names == sorted(names)
    for kept in ("pydoc_data/topics.py", "argparse.py", "unittest/mock.py"):
        assert any(name.endswith(f"/{kept}") for name in names)
    for part in ("/test/", "/site-packages/", "/idlelib/"):
        assert not any(part in name for name in names)


def test_versions() -> None:
    assert version("no-such-package-as-this") is None
    assert version("numpy")
    assert version(STANDARD_LIBRARY)
