"""Runs tensorflow/models' own tests against this package: `make peer-tests`.

The tests lie in the wheel of tf-models-official, which is unpacked without what it depends on. `bench/peer_shim.py`
maps their imports to ours. `bench/peer_tests.tsv` lists the tests that are out of scope, and those that fail, each with
the reason. Prints a table, and ends with 1 if a test fails that is not listed, or a listed one passes.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LISTED = Path(__file__).with_suffix(".tsv")
SUITES = (
    "modeling/activations/gelu_test.py",
    "modeling/activations/mish_test.py",
    "modeling/activations/relu_test.py",
    "modeling/activations/sigmoid_test.py",
    "modeling/activations/swish_test.py",
    "modeling/optimization/configs/optimization_config_test.py",
    "modeling/optimization/lamb_test.py",
    "modeling/optimization/lr_schedule_test.py",
    "modeling/optimization/optimizer_factory_test.py",
    "modeling/tf_utils_test.py",
    "nlp/configs/encoders_test.py",
    "nlp/data/create_pretraining_data_test.py",
    "nlp/data/pretrain_dataloader_test.py",
    "nlp/data/pretrain_dynamic_dataloader_test.py",
    "nlp/modeling/layers/cls_head_test.py",
    "nlp/modeling/layers/masked_lm_test.py",
    "nlp/modeling/layers/on_device_embedding_test.py",
    "nlp/modeling/layers/position_embedding_test.py",
    "nlp/modeling/layers/transformer_encoder_block_test.py",
    "nlp/modeling/models/bert_pretrainer_test.py",
    "nlp/modeling/networks/albert_encoder_test.py",
    "nlp/modeling/networks/bert_encoder_test.py",
    "nlp/tasks/masked_lm_determinism_test.py",
    "nlp/tasks/masked_lm_test.py",
    "nlp/tools/tokenization_test.py",
)


class Listed(NamedTuple):
    """A line of `LISTED`: tests by a pattern, what becomes of them, and why."""

    pattern: str
    outcome: str
    reason: str


def main() -> None:
    """Runs the tests of all suites, or of those whose path contains one of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the folder that tf-models-official was unpacked into")
    parser.add_argument("only", nargs="*", help="parts of the paths of the suites to run")
    arguments = parser.parse_args()
    suites = [suite for suite in SUITES if not arguments.only or any(part in suite for part in arguments.only)]
    # What makes TensorFlow deterministic cannot be undone: in a process of its own.
    deterministic = [suite for suite in suites if "determinism" in suite]
    outcomes = run([suite for suite in suites if suite not in deterministic], arguments.wheel / "official")
    if deterministic:
        outcomes |= run(deterministic, arguments.wheel / "official", TF_DETERMINISTIC_OPS="1")
    sys.exit(judge(outcomes, read_list(), complete=not arguments.only))


def run(suites: list[str], official: Path, **environment: str) -> dict[str, str]:
    """Runs suites in a process; returns "passed", "failed" or "skipped" by the name of the test.

    What they print is in the file `output.txt` of their folder, below out/peer-tests.
    """
    folder = ROOT / "out" / "peer-tests" / ("deterministic" if environment else "suites")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for suite in suites:  # Away from their package, which would be imported along with them.
        shutil.copy(official / suite, folder / suite.replace("/", "__"))
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "bench.peer_shim", "--import-mode=importlib", "--tb=short", "-q"]
    command += ["-c", os.devnull, f"--rootdir={folder}", f"--junitxml={report}", "-p", "no:cacheprovider", str(folder)]
    command += ["-o", "python_files=*_test.py", "--continue-on-collection-errors"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"} | environment
    with (folder / "output.txt").open("w") as output:
        subprocess.run(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    return read_report(report)


def read_report(report: Path) -> dict[str, str]:
    """The outcomes in a report of pytest's."""
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        suite, _, name = case.get("classname", "").rpartition(".")
        if not suite:  # A module that could not be imported.
            suite, name = case.get("name", ""), "import"
        test = case.get("name", "")
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        if test == "test_session":  # Of TensorFlow's TestCase.
            continue
        outcomes[f"{suite.replace('__', '/')}::{name}::{test}"] = outcome
    return outcomes


def read_list() -> list[Listed]:
    """The listed tests."""
    with LISTED.open(encoding="utf-8") as stream:
        return [Listed(*row) for row in csv.reader(stream, delimiter="\t") if row and not row[0].startswith("#")]


def judge(outcomes: dict[str, str], listed: list[Listed], *, complete: bool) -> int:
    """Prints a table, and what is not as listed; returns the exit code."""
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    used = set()
    for test, outcome in outcomes.items():
        line = next((line for line in listed if fnmatch.fnmatchcase(test, line.pattern)), None)
        used.add(line)
        expected = line.outcome if line else "passed"
        suite = test.partition("::")[0]
        if expected == "out of scope":
            table[suite][expected] += 1
            continue
        table[suite][outcome] += 1
        if outcome != expected and outcome != "skipped":
            wrong.append(f"{test}: {outcome}, though listed as {expected}")
    if complete:
        wrong += [f"{line.pattern}: listed, but there is no such test" for line in listed if line not in used]
    columns = ("passed", "failed", "skipped", "out of scope")
    print(f"{'suite':62}" + "".join(f"{column:>14}" for column in columns))
    for suite, counts in sorted(table.items()):
        print(f"{suite:62}" + "".join(f"{counts[column]:14}" for column in columns))
    totals = sum(table.values(), Counter())
    print(f"{'all':62}" + "".join(f"{totals[column]:14}" for column in columns))
    in_scope = totals["passed"] + totals["failed"]
    print(f"{totals['passed'] / in_scope:.1%} of the {in_scope} tests in scope pass.")
    for line in listed:
        if line.outcome == "failed" and line in used:
            print(f"  fails: {line.pattern}: {line.reason}")
    for problem in wrong:
        print(f"NOT AS LISTED: {problem}")
    return bool(wrong)


if __name__ == "__main__":
    main()
