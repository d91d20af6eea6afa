"""Runs in one place: stale workers, simultaneous commands, edited inputs, and files that are the user's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import files
from pipeline.beam.corpus import make as corpus_module
from pipeline.beam.corpus.block import build_block
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import CorpusJob, plan_corpus
from pipeline.beam.running import launch
from pipeline.beam.running.launch import run_units
from pipeline.beam.running.transforms import _do
from pipeline.beam.running.work import RunIsOver, WorkerFault, WorkFolder
from pipeline.beam.vocab import make as vocabulary_module
from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.make import make_vocabulary
from pipeline.beam.vocab.word_counts import WordCounts
from pipeline.cli import main
from pipeline.errors import CorpusError, InputError, OutputError
from pipeline.locks import locked
from pipeline.manifest import Manifest, read_manifest

Options = Callable[..., CorpusConfig]
Make = Callable[..., Manifest]
Clean = tuple[Path, Manifest]
Contents = Callable[[str | Path], dict[str, str]]
ROOT = Path(__file__).parents[2]


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def begin(options: Options, **values: Any) -> tuple[CorpusJob, Any]:
    """What a command has done before its workers begin."""
    job, plan = plan_corpus(options(**values))
    job.begin()
    job.plan.write(plan.blocks)
    return job, plan


# === Stale workers ===


def test_a_worker_of_another_run_leaves_nothing(options: Options, contents: Contents) -> None:
    stale, _ = begin(options, seed=1)
    begin(options, seed=2)
    before = contents(options().output)
    assert _do(0, stale.work, stale.build_shards) == 0
    assert contents(options().output) == before


def test_a_worker_whose_run_ends_while_it_writes_leaves_nothing(options: Options, contents: Contents) -> None:
    stale, plan = begin(options, seed=1)

    def end_and_check() -> None:
        begin(options, seed=2)
        stale.work.check_run()

    with pytest.raises(RunIsOver):
        build_block(
            plan.blocks[0],
            blocks=stale.blocks,
            config=stale.config,
            tokenizer=stale.tokenizer(),
            before_naming=end_and_check,
        )
    assert not [name for name in contents(options().output) if "tfrecord" in name]


def test_sidecars_of_another_run_do_not_count(tmp_path: Path) -> None:
    stale, ours = (WorkFolder(str(tmp_path), key=key) for key in ("stale", "ours"))
    stale.mark_done(0, {"x": 1})
    assert ours.result(0) is None
    assert not ours.is_done(0)
    assert ours.results([0]) == {}
    stale.mark_failed(1, InputError("stale"))
    assert ours.failure(1) is None
    ours.mark_done(0, {"x": 2})
    (tmp_path / "block-00001.json").write_text('{"key": "ours", "resu')  # Cut.
    assert ours.results([0, 1]) == {0: {"x": 2}}


@pytest.mark.parametrize("when", ["before the end", "before the manifest is there"])
def test_shards_that_another_job_has_written_are_made_again(
    make: Make, options: Options, clean: Clean, monkeypatch: pytest.MonkeyPatch, capsys: Any, when: str
) -> None:
    """The other job's shard comes under the final name at the worst moment, of the same size, as it may."""
    output = Path(options().output)
    name = clean[1].shards[2].name
    moments: list[str] = []

    def overwrite() -> None:
        data = (clean[0] / name).read_bytes()
        (output / name).write_bytes(data[:-20] + bytes(20))

    original, attribute = (
        (corpus_module._make_blocks, "_make_blocks")
        if when == "before the end"
        else (corpus_module.finish_corpus, "finish_corpus")
    )

    def and_overwrite(*arguments: Any) -> Any:
        result = original(*arguments)
        if not moments:
            overwrite()
        moments.append(when)
        return result

    monkeypatch.setattr(corpus_module, attribute, and_overwrite)
    manifest = make()
    assert len(moments) == 2
    assert manifest.shards == clean[1].shards
    assert (output / name).read_bytes() == (clean[0] / name).read_bytes()
    assert "Another job has written to some shards; writing them again" in capsys.readouterr().err


def test_a_job_that_keeps_writing_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    original = corpus_module._make_blocks

    def and_overwrite(job: CorpusJob, *arguments: Any) -> None:
        original(job, *arguments)
        path = Path(job.config.output, job.shard_names()[0])
        path.write_bytes(bytes(path.stat().st_size))

    monkeypatch.setattr(corpus_module, "_make_blocks", and_overwrite)
    with pytest.raises(CorpusError, match=r"Another job keeps writing to .* Cancel it where it runs"):
        make()


def test_a_run_whose_folder_another_has_taken_says_so(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on object stores, which have no locks."""
    job, plan = begin(options, seed=1)

    def run_none(self: WorkFolder, *_: Any, **__: Any) -> None:
        begin(options, seed=2)

    monkeypatch.setattr(launch, "_run_once", run_none)
    settings: dict[str, Any] = {"beam_args": [], "workers": 1, "description": "x", "show_progress": False}
    with pytest.raises(CorpusError, match=r"Another run has started in .*\.blocks"):
        run_units(job.work, plan.blocks, job.build_shards, **settings)


# === Simultaneous commands ===


def test_a_second_command_in_one_output_is_refused(make: Make, options: Options, tmp_path: Path) -> None:
    output = Path(options().output)
    output.mkdir()
    with locked(str(output / ".lock"), owner="x"), pytest.raises(OutputError, match=r"is using the corpus .*corpus"):
        make()
    make()
    assert not (output / ".lock").exists()
    config = VocabConfig(input=options().input, output=str(tmp_path / "v.txt"), vocab_size=200)
    with locked(str(tmp_path / ".v.txt.lock"), owner="x"), pytest.raises(OutputError, match="is using the vocab"):
        make_vocabulary(config, show_progress=False)


# === Vocabularies ===


def test_counts_of_another_run_are_not_taken(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabulary_path: str
) -> None:
    """A run is killed when all is counted; the next one has the same output and other text, of the same blocks."""
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    text = "the captain follows the river\n" * 40
    first.write_text(text.replace("captain", "stranger"))
    second.write_text(text.replace("captain", "merchant"))
    config = VocabConfig(input=(str(first),), output=str(tmp_path / "v.txt"), vocab_size=100, held_out_fraction=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "clear", lambda self: None)  # As if it had been killed by then.
        patch.setattr(vocabulary_module, "learn_vocabulary", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_vocabulary(config, show_progress=False)
    assert (tmp_path / ".v.txt.tmp.d").is_dir()
    other = VocabConfig(input=(str(second),), output=config.output, vocab_size=100, held_out_fraction=0.0)
    make_vocabulary(other, show_progress=False)
    learned = (tmp_path / "v.txt").read_text().split("\n")
    shutil.rmtree(tmp_path / ".v.txt.tmp.d", ignore_errors=True)
    (tmp_path / "alone").mkdir()
    alone = VocabConfig(
        input=(str(second),), output=str(tmp_path / "alone" / "v.txt"), vocab_size=100, held_out_fraction=0.0
    )
    make_vocabulary(alone, show_progress=False)
    assert learned == (tmp_path / "alone" / "v.txt").read_text().split("\n")


def vocab(*words: str) -> list[str]:
    return ["vocab", "--vocab-size", "200", "--no-progress", "--workers", "1", *words]


def test_a_vocabulary_replaces_its_own_kind_alone(options: Options, tmp_path: Path, capsys: Any) -> None:
    text = options().input[0]
    book = tmp_path / "book.txt"
    book.write_text("It was a dark and stormy night.\n" * 50)
    before = book.read_bytes()
    for words in (["--input", str(book)], ["--input", text]):
        assert main(vocab(*words, "--output", str(book))) == 2
        assert "book.txt already exists, and was not written by this command" in capsys.readouterr().err
    assert main(vocab("--input", str(book), "--output", str(book), "--overwrite")) == 2
    assert "The input must contain files other than the job's own output" in capsys.readouterr().err
    assert book.read_bytes() == before
    assert main(vocab("--input", text, "--output", str(tmp_path))) == 2
    assert "The output must be a file" in capsys.readouterr().err
    for _ in range(2):
        assert main(vocab("--input", text, "--output", str(tmp_path / "v.txt"))) == 0
    (tmp_path / "v.txt").write_text("edited by hand")
    assert main(vocab("--input", text, "--output", str(tmp_path / "v.txt"))) == 2
    assert main(vocab("--input", text, "--output", str(tmp_path / "v.txt"), "--overwrite")) == 0


def test_a_vocabulary_replaces_no_other_description(options: Options, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "v.txt.json").write_text("mine")
    assert main(vocab("--input", *options().input, "--output", str(tmp_path / "v.txt"))) == 2
    assert "v.txt.json already exists, and was not written by this command" in capsys.readouterr().err
    assert (tmp_path / "v.txt.json").read_text() == "mine"


def test_an_interrupted_vocabulary_goes_on(options: Options, tmp_path: Path, monkeypatch: Any) -> None:
    """Interrupted while it learns: the counts are kept, and nothing is counted again."""
    config = VocabConfig(input=options().input, output=str(tmp_path / "v.txt"), vocab_size=200, block_bytes=2000)
    with monkeypatch.context() as patch:
        patch.setattr(vocabulary_module, "learn_vocabulary", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_vocabulary(config, show_progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(WordCounts, "count_block", interrupt)
        patch.setattr(WordCounts, "sum_part", interrupt)
        make_vocabulary(config, show_progress=False)
    assert {path.name for path in tmp_path.iterdir()} >= {"v.txt", "v.txt.json"}
    assert not (tmp_path / ".v.txt.tmp.d").exists()


# === Inputs ===


def edit(path: str) -> None:
    """Edits a text without changing its length."""
    data = Path(path).read_bytes()
    place = data.index(b"the")
    Path(path).write_bytes(data[:place] + b"his" + data[place + 3 :])


@pytest.fixture
def own_text(options: Options, tmp_path: Path) -> str:
    """Text that a test may edit: a copy of the usual one."""
    folder = tmp_path / "own"
    folder.mkdir()
    for number, info in enumerate(files.match(options().input)):
        shutil.copy(info.path, folder / f"{number}.txt")
    return str(folder)


def test_a_finished_corpus_notices_edited_text(make: Make, options: Options, own_text: str, tmp_path: Path) -> None:
    make(input=(own_text,))
    make(input=(own_text,))
    edit(f"{own_text}/0.txt")
    with pytest.raises(OutputError, match=r"made before its inputs were last modified.*--overwrite"):
        make(input=(own_text,))
    manifest = make(input=(own_text,), overwrite=True)
    assert manifest.shards == make(input=(own_text,), output=str(tmp_path / "again")).shards


@pytest.mark.parametrize("dedup", ["none", "exact"])
def test_an_unfinished_corpus_notices_edited_text(
    make: Make, options: Options, own_text: str, tmp_path: Path, monkeypatch: Any, capsys: Any, dedup: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(input=(own_text,), dedup=dedup)
    edit(f"{own_text}/0.txt")
    capsys.readouterr()
    manifest = make(input=(own_text,), dedup=dedup)
    # With deduplication, any document may hang on one that was edited.
    assert ("of them finished earlier" in capsys.readouterr().err) == (dedup == "none")
    assert manifest.shards == make(input=(own_text,), output=str(tmp_path / "again"), dedup=dedup).shards


def test_text_that_is_edited_while_it_is_read_is_told(options: Options, own_text: str) -> None:
    job, plan = begin(options, input=(own_text,))
    edit(f"{own_text}/0.txt")
    assert _do(0, job.work, job.build_shards) == 0
    assert re.search(r"0\.txt was modified while the job ran", job.work.failure(0) or "")
    assert _do(len(plan.blocks) - 1, job.work, job.build_shards) == 1


def test_an_output_below_its_input_reads_the_same_text_again(
    make: Make, options: Options, own_text: str, capsys: Any, monkeypatch: Any
) -> None:
    output = f"{own_text}/corpus"
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(input=(own_text,), output=output)
    manifest = make(input=(own_text,), output=output)
    assert "of them finished earlier" in capsys.readouterr().err
    assert make(input=(own_text,), output=output) == manifest
    assert make(input=(own_text,), output=output, seed=2, overwrite=True).inputs == manifest.inputs
    shutil.rmtree(output)
    beside = make(input=(own_text,), output=own_text)  # Its text stays its input.
    assert make(input=(own_text,), output=own_text) == beside
    assert [entry["path"] for entry in beside.inputs] == [entry["path"] for entry in manifest.inputs]


# === Files of the user's ===


@pytest.mark.parametrize("name", ["vocab.txt", "train-00001-of-{blocks:05d}.tfrecord"])
def test_a_corpus_replaces_no_file_of_the_users(make: Make, options: Options, clean: Clean, name: str) -> None:
    output = Path(options().output)
    output.mkdir()
    path = output / name.format(blocks=len(clean[1].split("train")))
    path.write_text("mine")
    (output / "notes.txt").write_text("mine, too")
    message = f"is not a corpus, but contains files that the corpus would overwrite. Received: {path.name}"
    with pytest.raises(OutputError, match=message):
        make()
    assert path.read_text() == "mine"
    assert make(overwrite=True).shards == clean[1].shards
    assert (output / "notes.txt").read_text() == "mine, too"


def test_the_vocabulary_may_lie_where_the_corpus_goes(
    make: Make, options: Options, clean: Clean, vocabulary: bytes
) -> None:
    output = Path(options().output)
    output.mkdir()
    (output / "vocab.txt").write_bytes(vocabulary)
    assert make(vocab=str(output / "vocab.txt")).shards == clean[1].shards


@pytest.mark.parametrize("verb", ["report", "sample-corpus"])
def test_other_commands_replace_no_file_of_the_users(clean: Clean, tmp_path: Path, capsys: Any, verb: str) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    words = [verb, "--output", str(path), *([str(clean[0])] if verb == "report" else ["--no-progress"])]
    assert main(words) == 2
    assert "was not written by this command" in capsys.readouterr().err
    assert path.read_text() == "mine"
    if verb == "report":
        for more in (["--overwrite"], []):
            assert main([*words, *more]) == 0


# === Faults of the program ===


def _fail(index: int) -> None:
    raise [InputError("Not there"), OSError("full"), IndexError("a bug")][index]


def test_a_bug_in_a_worker_is_no_fault_of_the_users(tmp_path: Path) -> None:
    work = WorkFolder(str(tmp_path))
    options: dict[str, Any] = {"beam_args": [], "workers": 1, "description": "x", "show_progress": False}
    parts = [type("Unit", (), {"index": index, "bytes": 1})() for index in range(3)]
    with pytest.raises(CorpusError, match="2 of 2 blocks failed: block 0: Not there; block 1: OSError: full"):
        run_units(work, parts[:2], _fail, **options)
    with pytest.raises(WorkerFault, match=r"(?s)block 2: IndexError: a bug.*In a worker:.*Traceback.*in _fail"):
        run_units(work, parts, _fail, **options)


# === Interrupts ===

INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
output = Path(sys.argv[sys.argv.index("--output") + 1])
def wait_and_interrupt():
    while not list((output / ".blocks").glob(sys.argv[1])):
        time.sleep(0.01)
    os.kill(os.getpid(), int(sys.argv[2]))
threading.Thread(target=wait_and_interrupt, daemon=True).start()
from pipeline.cli import main
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("sign", [2, 15])
@pytest.mark.parametrize("phase", ["block-*.json", "fingerprint-*.json"])
def test_an_interrupt_ends_the_command_and_it_goes_on(
    options: Options, tmp_path: Path, contents: Contents, workers: int, sign: int, phase: str
) -> None:
    values: dict[str, Any] = {"dupe_factor": 100, "block_bytes": 1024, "dedup": "near"}
    config = options(**values)
    words = ["corpus", "--no-progress", "--workers", str(workers), "--dedup", "near", "--vocab", config.vocab]
    words += ["--input", *config.input, "--output", config.output]
    for name in ("max_seq_length", "max_predictions_per_seq", "dupe_factor", "validation_fraction", "block_bytes"):
        words += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    command = [sys.executable, "-c", INTERRUPTED, phase, str(sign), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 130, done.stderr
    assert "interrupted; the same command continues from here" in done.stderr
    assert "Traceback" not in done.stderr
    output = Path(config.output)
    assert not (output / "manifest.json").exists()
    assert not (output / ".lock").exists()
    assert not list(output.glob("*.tmp"))
    again = [sys.executable, "-m", "pipeline", *words]
    done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words[words.index(config.output)] = str(tmp_path / "undisturbed")
    subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=ROOT, capture_output=True, check=True)
    assert read_manifest(config.output).shards == read_manifest(str(tmp_path / "undisturbed")).shards
    assert contents(output).keys() == contents(tmp_path / "undisturbed").keys()


@pytest.mark.parametrize("name", ["plan_corpus", "_finish"])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_outside_the_pipeline_is_an_interrupt(
    options: Options, monkeypatch: pytest.MonkeyPatch, capsys: Any, name: str, sign: signal.Signals
) -> None:
    def stop(*_: Any) -> None:
        os.kill(os.getpid(), sign)
        time.sleep(60)

    config = options()
    monkeypatch.setattr(corpus_module, name, stop)
    words = ["corpus", "--no-progress", "--workers", "1", "--vocab", config.vocab, "--input", *config.input]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main([*words, "--output", config.output]) == 130
    assert "interrupted; the same command continues from here" in capsys.readouterr().err
    assert not (Path(config.output) / ".lock").exists()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_edited_vocabulary_in_the_output_is_the_users(
    make: Make, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    make()
    output = Path(options().output)
    vocabulary, shard = output / read_manifest(str(output)).tokenizer.vocab_file, next(output.glob("train-*"))
    written = vocabulary.read_bytes()
    vocabulary.write_bytes(written + b"edited\n")
    shard.unlink()
    for _ in range(2):  # Not before the shards are made again, nor once that was begun.
        with pytest.raises(OutputError, match=rf"Received: {re.escape(vocabulary.name)}\. .*--overwrite"):
            make()
    assert vocabulary.read_bytes() == written + b"edited\n"
    vocabulary.write_bytes(written)
    make()
    with monkeypatch.context() as patch:  # Overwritten by a corpus of other options, and that stopped.
        vocabulary.write_bytes(written + b"edited\n")
        patch.setattr(corpus_module, "run_units", stop)
        with pytest.raises(KeyboardInterrupt):
            make(overwrite=True, seed=3)
    make(seed=3)
    assert vocabulary.read_bytes() == written
