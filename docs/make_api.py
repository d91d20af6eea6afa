"""Writes docs/api/index.md, the list of public names, from `__all__` and the docstrings: `make docs`."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pipeline

FOLDER = Path(__file__).with_name("api")
PAGE = FOLDER / "index.md"
_HEAD = """# The public API

The public API is what `__all__` names: `pipeline.__all__` names the public modules, and the `__all__` of each of them
names its public functions and classes. The tables below list them. Import them from these modules:

```python
from pipeline.beam import CorpusConfig, make_corpus
from pipeline.reader import Corpus
```

Also public are:

- the command `mlm-pipeline`, its options ([Options](../options.md)) and its exit codes;
- the files of a corpus ([Records](../records.md)) and of a run;
- the names of tensorflow/models, in the modules that
  [Coming from tensorflow/models](../tensorflow-models.md) lists.

**Everything else is internal**: all other modules, names and attributes, also those without a leading underscore. Of a
class, the constructor and what its page shows are public; models and layers also have Keras's methods.

**What is promised.** The version is 0.1, and the project follows [Semantic Versioning](https://semver.org): from 1.0
on, public names change incompatibly only in a new major version. Until then, an incompatible change may come with a
minor version, never with a patch. Such changes are in the changelog under "Breaking changes". Where possible, the old
name first works for one minor version more, with a `DeprecationWarning`. Corpora and checkpoints of an earlier version
remain readable, or are refused with a message that says what to do. The bytes of a corpus may change with any minor
version; its manifest holds the version that wrote it. Internal names may change in any release.

Written by `make docs`.
"""


def page() -> str:
    """Returns the text of the page."""
    places = {
        name: path.name
        for path in sorted(FOLDER.glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    parts = [_HEAD]
    for module_name in (f"pipeline.{name}" for name in pipeline.__all__ if name != "__version__"):
        module = importlib.import_module(module_name)
        parts += [f"## {module_name}\n", _first_sentence(module), "", "| name | what it is |", "| --- | --- |"]
        for name in module.__all__:
            found, whole = getattr(module, name), f"{module_name}.{name}"
            shown = f"[`{name}`]({places[whole]}#{whole})" if whole in places else f"`{name}`"
            parts.append(f"| {shown} | {_first_sentence(found)} |")
        parts.append("")
    return "\n".join(parts)


def _first_sentence(found: object) -> str:
    """Returns the summary of an object's docstring."""
    summary = " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split())
    is_inner = isinstance(found, ModuleType) and found.__name__.count(".") > 1
    kind = "Module, as in tensorflow/models: " if is_inner else ""
    return (kind + re.split(r"(?<=\.) (?=[A-Z])", summary)[0]).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
