"""A corpus of real English for experiments, taken from the documentation of installed packages.

The standard library and this project's dependencies contain over ten megabytes of English prose. It is available on
every machine without a download, and as the corpus stays on that machine, no text is redistributed.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pipeline import files
from pipeline.errors import InputError
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files, version

# The packages with the most prose among those installed with this project, in the order of the corpus.
DEFAULT_PACKAGES = (
    STANDARD_LIBRARY,
    "numpy",
    "keras",
    "tensorflow",
    "tensorflow-text",
    "apache-beam",
    "beartype",
    "pymongo",
    "dnspython",
    "absl-py",
    "protobuf",
    "grpcio",
    "packaging",
    "pyparsing",
    "pyarrow",
    "h5py",
    "rich",
    "urllib3",
    "pillow",
    "pygments",
)
_EXTRACTION = 1  # Increment with every change to the extraction, so that existing corpora are remade.
_MAX_WORKERS = 8
_FILES_PER_TASK = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleCorpusSummary:
    """Describes the contents of a sample corpus.

    Attributes:
        extraction: version of the extraction that made it.
        versions: version of each package whose documentation it contains; Python's for `STANDARD_LIBRARY`.
        documents: number of modules, topics and files with at least one paragraph.
        paragraphs: number of paragraphs, each on one line.
        bytes: size of the file.
        sha256: hexadecimal digest of the file.
        dropped: counts of omitted paragraphs and structures, such as code blocks, by reason.
    """

    extraction: int
    versions: Mapping[str, str]
    documents: int
    paragraphs: int
    bytes: int
    sha256: str
    dropped: Mapping[str, int]


def write_sample_corpus(
    path: str,
    *,
    packages: Sequence[str] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> SampleCorpusSummary:
    """Writes English prose from installed packages, unless the same corpus exists already.

    The file is UTF-8, with one paragraph per line and a blank line between documents. A document is a module, a topic
    of Python's own help, or a reStructuredText or Markdown file. Repeated paragraphs are omitted. The same versions of
    Python and of the packages give the same bytes, whatever the number of workers.

    Args:
        path: the file to write; its summary is written to `path` + ".json".
        packages: names of distributions, in the order of their documents, and `STANDARD_LIBRARY`; by default those
            of `DEFAULT_PACKAGES` that are installed.
        workers: number of processes that parse sources; by default one per core, at most 8.
        progress: whether to show a progress bar over the files.

    Returns:
        The summary of the file, whether written now or earlier.

    Raises:
        InputError: if one of `packages` is not installed, or if they contain no prose.
        OutputError: if the file cannot be written.
    """
    versions = _versions(packages)
    cached = _read_summary(path)
    if cached and cached.extraction == _EXTRACTION and list(cached.versions.items()) == list(versions.items()):
        return cached
    sources = [source for package in versions for source in source_files(package)]
    workers = workers or min(os.cpu_count() or 1, _MAX_WORKERS)
    files.make_directory(os.path.dirname(path) or ".")
    kept = lines = 0
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    with files.write_file(path) as writer:
        bar = tqdm(_extract(sources, workers), total=len(sources), unit="file", disable=not progress)
        for found, reasons in bar:
            dropped += reasons
            for document in found:
                fresh = list(dict.fromkeys(paragraph for paragraph in document if paragraph not in seen))
                dropped["duplicate paragraph"] += len(document) - len(fresh)
                seen.update(fresh)
                if len(fresh) == 1:
                    dropped["document of one paragraph"] += 1
                elif fresh:
                    text = "\n".join(fresh) + "\n"
                    writer.write((("\n" if kept else "") + text).encode())
                    kept += 1
                    lines += len(fresh)
        if not kept:
            raise InputError(
                "The sample corpus needs packages with documentation in English",
                received=", ".join(versions),
                do="Name other packages",
            )
    summary = SampleCorpusSummary(
        extraction=_EXTRACTION,
        versions=versions,
        documents=kept,
        paragraphs=lines,
        bytes=writer.bytes,
        sha256=writer.sha256,
        dropped=dict(sorted(dropped.items())),
    )
    files.write_atomically(path + ".json", (json.dumps(dataclasses.asdict(summary), indent=2) + "\n").encode())
    return summary


def _versions(packages: Sequence[str] | None) -> dict[str, str]:
    versions = {package: version(package) for package in packages or DEFAULT_PACKAGES}
    missing = [package for package, found in versions.items() if found is None]
    if packages and missing:
        raise InputError(
            "Documentation can be taken only from installed packages",
            received=", ".join(missing),
            do="Install them, or omit them",
        )
    return {package: found for package, found in versions.items() if found is not None}


def _extract(sources: Sequence[Path], workers: int) -> Iterator[tuple[list[list[str]], Counter[str]]]:
    """Yields the documents of each source, in the order of `sources`."""
    if workers == 1:
        yield from map(documents, sources)
        return
    # Spawned, because a fork of a process with threads (TensorFlow's, Beam's) may hang.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(documents, sources, chunksize=_FILES_PER_TASK)


def _read_summary(path: str) -> SampleCorpusSummary | None:
    """Reads the summary beside the corpus; returns None if it is missing or invalid, or does not match the corpus."""
    if not (files.exists(path) and files.exists(path + ".json")):
        return None
    try:
        summary = SampleCorpusSummary(**json.loads(files.read(path + ".json")))
    except (TypeError, ValueError):
        return None
    return summary if files.sha256(path) == summary.sha256 else None
