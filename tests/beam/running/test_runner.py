from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, StandardOptions

from pipeline.beam.running.dask import DASK_RUNNER
from pipeline.beam.running.runner import check_beam_args, check_paths, reason_of, run
from pipeline.errors import ConfigError

OWN = ["--max-seq-length", "--workers", "--input", "--vocab"]


@pytest.mark.parametrize(
    "beam_args",
    [
        [],
        ["--runner=DataflowRunner", "--project=p", "--region=europe-west1", "--temp_location=gs://b/t"],
        ["--runner", "FnApiRunner", "--direct_num_workers", "2"],
        ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"],
        ["--flink_master=localhost:8081", "--streaming"],
        ["--experiments=a", "--experiments=b"],
    ],
)
def test_beams_options_are_known(beam_args: list[str]) -> None:
    check_beam_args(beam_args, own_options=OWN)


@pytest.mark.parametrize(
    ("beam_args", "message"),
    [
        (["--max_seq_length=5"], r"Received: --max_seq_length\. Did you mean --max-seq-length\?"),
        (["--max-seq-lenght", "5"], r"Received: --max-seq-lenght\. Did you mean --max-seq-length\?"),
        (["--runer=DataflowRunner"], r"Received: --runer\. Did you mean --runner\?"),
        (["--zzz"], r"Received: --zzz\. See --help"),
        (["--runner=FnApiRunner", "texts.txt"], r"Received: texts\.txt\. See --help"),
        (
            ["--runner=FnApiRunner", "--runner", "FlinkRunner"],
            "--runner with FnApiRunner and FlinkRunner. Give it once",
        ),
        (["--direct_num_workers=many"], "One of Beam's options .* --direct_num_workers: invalid int value: 'many'"),
        (["--direct_running_mode=fast"], "One of Beam's options .* invalid choice: 'fast'"),
        (["--runner"], "One of Beam's options .* --runner: expected one argument"),
        (
            ["--runner=NoSuchRunner"],
            r"--runner must be the name of a Beam runner.* Received: NoSuchRunner\. .*FnApiRunner",
        ),
        (["--runner=no.such.Runner"], r"--runner must be the name of a Beam runner.* Received: no\.such\.Runner\."),
    ],
)
def test_what_neither_knows_is_refused(beam_args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=message):
        check_beam_args(beam_args, own_options=OWN)
    assert capsys.readouterr().err == ""  # Beam has hundreds of lines of usage.


@pytest.mark.parametrize("runner", ["DataflowRunner", "dataflow", "apache_beam.runners.dataflow.DataflowRunner"])
def test_paths_that_workers_cannot_reach_are_refused(runner: str) -> None:
    check_paths([f"--runner={runner}"], ["gs://b/in/*.txt", "s3://b/out"])
    with pytest.raises(ConfigError, match=r"Received: texts/\*\.txt\. Copy the input to gs://"):
        check_paths(["--runner", runner], ["gs://b/out", "texts/*.txt"])
    check_paths(["--runner=DaskRunner"], ["texts/*.txt"])
    check_paths([], ["texts/*.txt"])


def test_dask_has_a_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("apache_beam.runners.runner.create_runner", asked.append)
    for name in ("DaskRunner", "dask", DASK_RUNNER):
        check_beam_args([f"--runner={name}"])
    assert asked == [DASK_RUNNER] * 3

    def fail(name: str) -> None:
        raise ImportError("no dask")

    monkeypatch.setattr("apache_beam.runners.runner.create_runner", fail)
    with pytest.raises(ConfigError, match=r"Received: .*DaskRunner\. .*pip install '\.\[dask\]'"):
        check_beam_args(["--runner=DaskRunner"])


def test_a_pipeline_runs(tmp_path: Path) -> None:
    def build(root: Any) -> Any:
        return root | beam.Create([1, 2, 3]) | beam.Map(lambda x: (tmp_path / str(x)).write_text("here"))

    assert run(build, beam_args=[], units=3, workers=1) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3"]


def test_an_error_is_a_line() -> None:
    def build(root: Any) -> Any:
        return root | beam.Create([0]) | beam.Map(lambda x: 1 // x)

    failure = run(build, beam_args=[], units=1, workers=1)
    assert failure is not None
    assert "ZeroDivisionError" in failure or "division" in failure
    assert "\n" not in failure


def settings(beam_args: Sequence[str], workers: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """With which options a pipeline would run."""
    found: list[beam.Pipeline] = []
    monkeypatch.setattr(beam.Pipeline, "run", lambda self, *_, **__: pytest.fail("not to be run"))
    monkeypatch.setattr(beam.Pipeline, "__exit__", lambda *_: None)
    assert run(found.append, beam_args=beam_args, units=100, workers=workers) is None
    options = found[0].options
    direct = options.view_as(DirectOptions)
    return type(found[0].runner).__name__, direct.direct_running_mode, direct.direct_num_workers, options


def test_this_machine_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings([], 1, monkeypatch)[:3] == ("FnApiRunner", "in_memory", 1)
    assert settings([], 3, monkeypatch)[:3] == ("FnApiRunner", "multi_processing", 3)
    assert settings(["--runner=FnApiRunner"], 3, monkeypatch)[:3] == ("FnApiRunner", "multi_processing", 3)


def test_what_the_user_says_of_beam_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = ["--direct_running_mode=multi_threading"]
    assert settings(threads, 3, monkeypatch)[:3] == ("FnApiRunner", "multi_threading", 3)
    assert settings(["--direct_num_workers", "5"], 3, monkeypatch)[:3] == ("FnApiRunner", "multi_processing", 5)
    name, mode, number, options = settings(
        ["--runner=apache_beam.runners.portability.portable_runner.PortableRunner", "--project=p"], 3, monkeypatch
    )
    assert (name, mode, number) == ("PortableRunner", "in_memory", 1)  # --workers is of this machine.
    assert options.view_as(GoogleCloudOptions).project == "p"
    assert options.view_as(StandardOptions).runner.endswith("PortableRunner")


JAVA = """java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.
This stopped SparkContext was created at:

org.apache.beam.runners.spark.translation.SparkContextFactory.createSparkContext(SparkContextFactory.java:101)

The currently active SparkContext was created at:

(No active SparkContext.)"""
GRPC = """<_InactiveRpcError of RPC that terminated with:
\tstatus = StatusCode.UNAVAILABLE
\tdetails = "failed to connect to all addresses; last error: UNKNOWN: Connection refused"
\tdebug_error_string = "UNKNOWN:Error received from peer"
>"""
WORKER = """Pipeline BeamApp failed in state FAILED: java.lang.RuntimeException: Error received for instruction 5:
Traceback (most recent call last):
  File "sdk_worker.py", line 311, in _execute
    response = task()
ValueError: Bad block [while running 'Corpus/Step']
]"""


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (JAVA, "java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext."),
        (
            GRPC,
            "RuntimeError: failed to connect to all addresses; last error: UNKNOWN: Connection refused",
        ),
        (WORKER, "ValueError: Bad block [while running 'Corpus/Step']"),
        (
            "Job failed\nCaused by: java.io.IOException: No space left\n\t... 12 more\n}",
            "Caused by: java.io.IOException: No space left",
        ),
        ("Failed: x\nCaused by: java.lang.NullPointerException", "Caused by: java.lang.NullPointerException"),
        ("Traceback (most recent call last):\n  File x\nMemoryError", "MemoryError"),
        (
            "An error occurred while calling o1.x.\n: java.lang.IllegalStateException: Stopped\n\tat x",
            "java.lang.IllegalStateException: Stopped",
        ),
        ("State: FAILED, Error:\nWorkflow failed. Causes: S01 failed.", "Workflow failed. Causes: S01 failed."),
        ("Error received from SDK harness\n]", "RuntimeError: Error received from SDK harness"),
        ("A single line", "RuntimeError: A single line"),
        ("First of two\n)", "RuntimeError: First of two"),
        ("", "RuntimeError"),
        (
            "HttpError accessing <https://dataflow.googleapis.com/v1b3/projects/p/jobs?alt=json>:"
            " response: <{'status': '403'}>, content <{\n"
            '  "error": {\n    "code": 403,\n'
            '    "message": "(a1): Current user cannot act as service account x.",\n'
            '    "status": "PERMISSION_DENIED"\n  }\n}\n>',
            "RuntimeError: (a1): Current user cannot act as service account x.",
        ),
    ],
)
def test_the_reason_of_a_failure_names_its_cause(message: str, reason: str) -> None:
    assert reason_of(RuntimeError(message)) == reason


class _Started:
    """A job that runs until it is interrupted, and can be cancelled or not."""

    def __init__(self, error: Exception | None) -> None:
        self.cancelled, self._error = False, error

    def wait_until_finish(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    def cancel(self) -> None:
        self.cancelled = True
        if self._error:
            raise self._error


@pytest.mark.parametrize("error", [None, NotImplementedError("cannot cancel")])
def test_an_interrupt_cancels_the_job_that_was_started(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = _Started(error)
    monkeypatch.setattr(beam.Pipeline, "run", lambda self, *_, **__: job)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        run(lambda root: root | beam.Create([1]), beam_args=[], units=1, workers=1)
    assert job.cancelled
    told = "The job could not be cancelled (NotImplementedError: cannot cancel). It may still be running"
    assert (told in capsys.readouterr().err) == (error is not None)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_interrupt_that_beam_takes_for_a_failure_is_one() -> None:
    """In one process the work is done by the main thread, which is where an interrupt arrives."""

    def interrupt(element: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run(lambda root: root | beam.Create([1]) | beam.Map(interrupt), beam_args=[], units=1, workers=1)


@pytest.mark.parametrize(("runner", "told"), [("FlinkRunner", True), ("FnApiRunner", False)])
def test_an_interrupt_while_a_job_is_submitted_is_told(
    runner: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def submit(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    monkeypatch.setattr(beam.Pipeline, "run", submit)
    with pytest.raises(KeyboardInterrupt):
        run(lambda root: root | beam.Create([1]), beam_args=[f"--runner={runner}"], units=1, workers=1)
    assert ("it may have started" in capsys.readouterr().err) is told
