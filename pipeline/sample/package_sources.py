"""Finds the source files of installed packages, and the documents in each.

Nothing is imported: files are listed from a package's own record, and sources are parsed.
"""

from __future__ import annotations

import ast
import importlib.metadata
import platform
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

from pipeline.errors import InputError
from pipeline.sample.documentation import paragraphs

STANDARD_LIBRARY = "python"

_SUFFIXES = frozenset({".py", ".md", ".rst"})
_FOLDERS_PASSED_OVER = frozenset(
    {"__pycache__", "_api", "_vendor", "dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages"}
    | {"test", "tests", "turtledemo"}
)


def version(package: str) -> str | None:
    """Returns the version of an installed package, or of Python for `STANDARD_LIBRARY`; None if not installed."""
    if package == STANDARD_LIBRARY:
        return platform.python_version()
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def source_files(package: str) -> list[Path]:
    """Lists the files of an installed package that contain documentation, sorted, without tests and vendored copies.

    Raises:
        InputError: if the package has no record of its files.
    """
    if package == STANDARD_LIBRARY:
        root = Path(sysconfig.get_path("stdlib"))
        relative = [path.relative_to(root) for path in root.rglob("*.py")]
    else:
        distribution = importlib.metadata.distribution(package)
        if distribution.files is None:
            raise InputError(
                f"Documentation can be taken only from packages with a record of their files, unlike {package}",
                do="Install it with pip, or omit it",
            )
        root = Path(str(distribution.locate_file("")))
        relative = [Path(path) for path in distribution.files]
    kept = (path for path in relative if path.suffix in _SUFFIXES and not _passed_over(path))
    return [root / path for path in sorted(kept, key=Path.as_posix)]


def _passed_over(path: Path) -> bool:
    folders, module = path.parts[:-1], path.stem
    return bool(
        _FOLDERS_PASSED_OVER.intersection(folders) or module.startswith("test_") or module.endswith(("_test", "_pb2"))
    )


def documents(path: Path) -> tuple[list[list[str]], Counter[str]]:
    """Extracts the prose from one file.

    Args:
        path: a Python source, or a reStructuredText or Markdown file.

    Returns:
        The documents as lists of paragraphs, and the counts of omissions by reason. A file is one document, except that
        each topic of Python's own help (`pydoc_data.topics`) is one.
    """
    dropped: Counter[str] = Counter()
    try:
        texts = _texts(path) if path.suffix == ".py" else [[path.read_text(encoding="utf-8")]]
    except OSError:
        dropped["file that cannot be read"] += 1
        texts = []
    except (SyntaxError, ValueError):  # ValueError for invalid UTF-8 and for NUL characters.
        dropped["file that cannot be parsed"] += 1
        texts = []
    found = [[paragraph for text in document for paragraph in paragraphs(text, dropped)] for document in texts]
    return found, dropped


def _texts(path: Path) -> list[list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns about invalid escapes in these sources.
        tree = ast.parse(path.read_bytes())
    if path.parts[-2:] == ("pydoc_data", "topics.py"):
        topics = next(node for node in ast.walk(tree) if isinstance(node, ast.Dict))
        return [[text] for topic in topics.values if (text := _string(topic))]
    # Docstrings of modules, classes, functions and attributes are expression statements. Other strings of several lines
    # are documentation, too: assigned to __doc__, or passed to a function such as numpy's add_newdoc.
    in_f_strings = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found: dict[tuple[int, int], str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and (text := _string(node.value)):
            found[node.lineno, node.col_offset] = text
        elif id(node) not in in_f_strings and "\n" in (text := _string(node)):
            assert isinstance(node, ast.Constant)
            found[node.lineno, node.col_offset] = text
    return [[found[place] for place in sorted(found)]]


def _string(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
