from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.commands import corpus as corpus_command
from pipeline.commands.common import printed_messages
from pipeline.version import __version__

ROOT = Path(__file__).parents[1]


class Setting:
    """A command that works, whose words a test replaces."""

    def __init__(self, texts: str, vocabulary: str, folder: Path) -> None:
        self.folder, self.output = folder, folder / "out"
        self.options = {"--input": texts, "--output": str(self.output), "--vocab": vocabulary}
        self.options |= {"--max-seq-length": "48", "--max-predictions-per-seq": "8", "--workers": "1"}

    def run(self, *more: str, **options: str | None) -> int:
        """Runs `corpus` with other options; None leaves one out."""
        chosen = self.options | {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        words = [word for name, value in chosen.items() if value is not None for word in (name, value)]
        return cli.main(["corpus", "--no-progress", *words, *more])

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)


@pytest.fixture
def setting(text_files: str, vocabulary_path: str, tmp_path: Path) -> Setting:
    return Setting(text_files, vocabulary_path, tmp_path)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said: a single line on standard error."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("mlm-pipeline: error: ")
    return said.err.removeprefix("mlm-pipeline: error: ").rstrip()


# === Success ===


def test_a_corpus_is_made_and_summed_up(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    assert setting.run() == 0
    said = capsys.readouterr()
    assert "2 files, 0.0 MB, format bert (detected; override with --format), 1 block" in said.err
    assert f"{setting.output}: train: " in said.out
    assert (setting.output / "manifest.json").exists()
    assert setting.run() == 0
    assert "is already finished" in capsys.readouterr().err


def test_options_may_come_from_a_file(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    path = setting.write("options.yaml", b"max_seq_length: 32\nseed: 7\nvalidation_fraction: 0\n")
    assert setting.run(config=path, max_seq_length=None) == 0
    manifest = (setting.output / "manifest.json").read_text()
    assert '"max_seq_length": 32' in manifest
    assert '"seed": 7' in manifest


def test_as_a_process_of_its_own(setting: Setting) -> None:
    words = [word for option in setting.options.items() for word in option]
    run: Callable[[], subprocess.CompletedProcess[str]] = lambda: subprocess.run(  # noqa: E731
        [sys.executable, "-m", "pipeline", "corpus", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    first, second = run(), run()
    assert (first.returncode, second.returncode) == (0, 0)
    assert "1/1 blocks" in first.stderr  # The progress bar.
    assert first.stdout == second.stdout
    for noise in ("Traceback", "WARNING", "TensorFlow", "oneDNN"):
        assert noise not in first.stderr + second.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mlm-pipeline {__version__}\n"


# === What a user can get wrong: one line, exit code 2, nothing written ===

NO_MASK = "".join(f"{token}\n" for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a")).encode()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "{folder}/none/*.txt"}, r"Each input must name at least one file. Received: '{folder}/none/*.txt'."),
        ({"input": "{folder}/empty.txt"}, "The input must contain text. Received: 1 empty file ({folder}/empty.txt)."),
        ({"vocab": "{folder}/none.txt"}, "There must be a vocabulary at {folder}/none.txt."),
        ({"vocab": "{folder}/no-mask.txt"}, "{folder}/no-mask.txt must contain the special tokens"),
        ({"vocab": "{folder}/empty.txt"}, "{folder}/empty.txt must contain the special tokens"),
        ({"vocab": "{folder}/bytes.bin"}, "{folder}/bytes.bin must be UTF-8 text, one token per line"),
        ({"max_predictions_per_seq": "49"}, "max_predictions_per_seq must be between 1 and max_seq_length (48)."),
        ({"max_seq_length": "4"}, "max_seq_length needs room for [CLS], [SEP], [SEP] and two tokens"),
        ({"max_seq_length": "40000"}, "max_seq_length must be between 1 and 32768. Received: 40000."),
        ({"masked_lm_prob": "0"}, "masked_lm_prob must be above 0 and at most 1. Received: 0.0."),
        ({"short_seq_prob": "nan"}, "short_seq_prob must be between 0 and 1. Received: nan."),
        ({"validation_fraction": "1"}, "validation_fraction must be between 0 and 0.99. Received: 1.0."),
        ({"dupe_factor": "-1"}, "dupe_factor must be between 0 and 1000. Received: -1."),
        ({"block_bytes": "100"}, "block_bytes must be 0 or at least 1024. Received: 100."),
        ({"bins": "32,16"}, "bins must be ascending lengths that end with max_seq_length (48). Received: 32, 16."),
        ({"output": "{folder}/empty.txt"}, "Cannot create the output directory {folder}/empty.txt."),
        ({"output": "{folder}/empty.txt/below"}, "Cannot create the output directory {folder}/empty.txt/below."),
        ({"output": None}, "output is required. Set --output, or output in the config file."),
        ({"input": None}, "input is required."),
        ({"vocab": None}, "vocab is required."),
        ({"workers": "0"}, "--workers must be between 1 and 1024. Received: 0."),
        ({"workers": "100000"}, "--workers must be between 1 and 1024. Received: 100000."),
        ({"config": "{folder}/none.yaml"}, "Cannot read {folder}/none.yaml."),
        ({"config": "{folder}/bytes.bin"}, "{folder}/bytes.bin is not valid YAML."),
        ({"config": "{folder}/typo.yaml"}, "There is no option max_seq_lenght. Did you mean max_seq_length?"),
        ({"max_seq_lenght": "48"}, "Unknown option: neither this command nor Beam has it. Received: --max-seq-lenght."),
        (
            {"runner": "NoSuch"},
            "--runner must be the name of a Beam runner. Received: NoSuch.",
        ),
        ({"output": "nonsense://bucket/x"}, "The path has an unknown scheme."),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_line(
    setting: Setting, capsys: pytest.CaptureFixture[str], options: dict[str, str | None], message: str
) -> None:
    setting.write("empty.txt", b"")
    setting.write("no-mask.txt", NO_MASK)
    setting.write("bytes.bin", b"\xff\xfe\x00")
    setting.write("typo.yaml", b"max_seq_lenght: 48\n")
    before = sorted(setting.folder.rglob("*"))
    chosen = {name: value and value.format(folder=setting.folder) for name, value in options.items()}
    assert setting.run(**chosen) == 2
    said = one_line(capsys)
    assert said.startswith(message.format(folder=setting.folder))
    assert said.endswith((".", "?"))
    assert sorted(setting.folder.rglob("*")) == before


def test_other_options_want_overwrite(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    assert setting.run() == 0
    capsys.readouterr()
    assert setting.run(seed="2") == 2
    assert one_line(capsys).endswith("or replace the corpus with --overwrite.")
    assert setting.run("--overwrite", seed="2") == 0


def test_failed_blocks_end_with_code_2(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    (setting.output / "train-00000-of-00001.tfrecord").mkdir(parents=True)
    assert setting.run() == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("mlm-pipeline: error: 1 of 1 blocks failed: block 0: Cannot write ")
    assert "Traceback" not in "".join(said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["korpus"], "invalid choice: 'korpus'"),
        (["sample-corpus", "--output", "x", "--zzz"], "unrecognized arguments: --zzz"),
        (
            ["pretrain", "--corpus", "x", "--run", "y", "--trainer.train-stepz=4"],
            "unrecognized arguments: --trainer.train-stepz=4 (did you mean --trainer.train-steps?)",
        ),
        (["corpus", "--max-seq-length", "many"], "argument --max-seq-length: invalid int value: 'many'"),
        (["corpus", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
    ],
)
def test_a_command_line_that_cannot_be_read(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(
    setting: Setting, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus_command, "config_from", interrupt)
    assert setting.run() == 130
    assert capsys.readouterr().err == "mlm-pipeline: interrupted; the same command continues from here\n"


def test_output_that_nobody_reads_is_no_fault(setting: Setting) -> None:
    """As behind `| head -1`, which closes the pipe."""
    assert setting.run() == 0
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pipeline", "stats", str(setting.output)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_of_the_program_is_not_hidden(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_command, "config_from", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        setting.run()


def test_default_workers_are_the_cores_of_this_process(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def make_corpus(*_: object, **options: object) -> object:
        seen.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.beam.corpus.make.make_corpus", make_corpus)
    setting.run("--direct_num_workers=2", workers=None)
    assert seen["workers"] == len(os.sched_getaffinity(0))
    assert seen["beam_args"] == ["--direct_num_workers=2"]
    assert seen["show_progress"] is False
    assert seen["overwrite"] is False


def test_what_training_logs_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    others = io.StringIO()
    handler, logger = logging.StreamHandler(others), logging.getLogger("pipeline.training.run")
    logging.getLogger().addHandler(handler)
    try:
        with printed_messages():
            logger.info("continuing from step 3")
            logger.warning("note: damaged")
        logger.info("nobody asked for this")
        logger.warning("as a library")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().out == "continuing from step 3\nnote: damaged\n"
    assert others.getvalue() == "as a library\n"
