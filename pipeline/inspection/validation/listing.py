"""Checks that the files of a corpus are those of its manifest."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline import files
from pipeline.beam.corpus.block import shard_name
from pipeline.beam.corpus.parts import SPLITS
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.validation.problems import Problem
from pipeline.inspection.validation.shard import ShardFindings
from pipeline.manifest import Shard
from pipeline.records.chunks import ENTRY_BYTES, records_per_chunk

_SHARD_LIKE = re.compile(r"\.tfrecord(\.gz)?(\.tmp)?$")
_PLACE = re.compile(r"-(\d+)-of-(\d+)\.tfrecord")


def block_of(shard: Shard) -> int:
    """Returns the number of the block that made a shard, from its name; -1 if the name has none."""
    found = _PLACE.search(shard.name)
    return int(found[1]) if found else -1


def check_names(corpus: Corpus) -> Iterator[Problem]:
    """Checks that the manifest has each shard that its options call for once, in the right shape."""
    shards, config = corpus.manifest.shards, corpus.config
    specs = config.specs()
    if corpus.manifest.spec != specs[-1]:
        yield Problem("files", "the manifest's spec does not match its options")
    totals = {int(found[2]) for shard in shards if (found := _PLACE.search(shard.name))}
    expected = {
        shard_name(split, block, total, config, bin_index): (split, spec)
        for total in totals
        for block in range(total)
        for split in (SPLITS if config.validation_fraction else SPLITS[:1])
        for bin_index, spec in enumerate(specs)
    }
    if len(totals) > 1:
        yield Problem("files", f"the manifest's shards belong to different plans, of {sorted(totals)} blocks")
    for name, number in Counter(shard.name for shard in shards).items():
        if number > 1:
            yield Problem("files", f"the manifest lists it {number} times", name)
    for name in sorted(expected.keys() - {shard.name for shard in shards}):
        yield Problem("files", "it is not in the manifest, but the options require it", name)
    for shard in shards:
        if shard.name not in expected:
            yield Problem("files", "the options require no shard of this name", shard.name)
        elif (shard.split, corpus.manifest.shard_spec(shard)) != expected[shard.name]:
            yield Problem("files", "its split or its lengths do not match the options", shard.name)


def check_presence(corpus: Corpus, present: Sequence[str]) -> Iterator[Problem]:
    """Checks the file names in the corpus's directory against the manifest."""
    listed = {shard.name: shard for shard in corpus.manifest.shards}
    extra = sorted({name for name in present if _SHARD_LIKE.search(name)} - listed.keys())
    missing = [shard for name, shard in listed.items() if name not in set(present)]
    # Hashed only if shards are missing, which these may be under other names.
    contents = {files.sha256(files.join(corpus.directory, name)): name for name in extra} if missing else {}
    for shard in missing:
        renamed = contents.get(shard.sha256)
        yield Problem("files", f"it is missing{f'; {renamed} has the same contents' if renamed else ''}", shard.name)
    for name in extra:
        yield Problem("files", "the manifest does not list it", name)


def check_index(corpus: Corpus, present: Sequence[str]) -> Iterator[Problem]:
    """Checks the file of the index; what it says of each shard is checked with the shard."""
    index = corpus.manifest.index
    if index is None:
        return
    if index.name not in set(present):
        yield Problem("index", "it is missing", index.name)
        return
    content = files.read(files.join(corpus.directory, index.name))
    found = hashlib.sha256(content).hexdigest()
    if len(content) != index.bytes:
        yield Problem("index", f"it must have {index.bytes:,} bytes, but has {len(content):,}", index.name)
    elif found != index.sha256:
        yield Problem("index", f"its SHA-256 must be {index.sha256[:16]}..., but is {found[:16]}...", index.name)


def shard_indexes(corpus: Corpus) -> dict[str, bytes]:
    """Returns the index of each shard, by its name; none if the file of the index cannot be all of them."""
    index = corpus.manifest.index
    path = files.join(corpus.directory, index.name) if index else ""
    if not path or not files.exists(path):
        return {}
    content, place, found = files.read(path), 0, {}
    for shard in corpus.manifest.shards:
        size = -(-shard.examples // records_per_chunk(shard.max_seq_length)) * ENTRY_BYTES
        found[shard.name] = content[place : place + size]
        place += size
    return found if place == len(content) else {}


def check_contents(corpus: Corpus, findings: Sequence[ShardFindings]) -> Iterator[Problem]:
    """Checks sizes and checksums, and that no two shards are identical."""
    owners: dict[str, str] = {}
    for shard in corpus.manifest.shards:
        if shard.examples and owners.setdefault(shard.sha256, shard.name) != shard.name:
            yield Problem("files", f"the manifest has the same SHA-256 for {owners[shard.sha256]}", shard.name)
    for found in findings:
        shard = found.shard
        if not found.sha256 or found.sha256 == shard.sha256:
            continue
        other = owners.get(found.sha256, "")
        what = (
            f"it has the contents of {other}"
            if other
            else f"it must have {shard.bytes:,} bytes, but has {found.bytes:,}"
            if found.bytes != shard.bytes
            else f"its SHA-256 must be {shard.sha256[:16]}..., but is {found.sha256[:16]}..."
        )
        yield Problem("files", what, shard.name)
