"""Trains a recipe for a budget of CPU time, and evaluates what came out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.quality.recipes import Data, Job, Recipe
from bench.turns import ROOT

# Options that change what is learned, but not how long a step takes.
_SAME_PACE = tuple(
    f"trainer.optimizer.{name}="
    for name in (
        *("learning_rate", "end_learning_rate", "warmup_steps", "decay", "decay_form", "decay_steps"),
        *("beta_1", "beta_2", "epsilon", "weight_decay_rate", "muon_momentum"),
    )
)


def steps_of_budget(recipe: Recipe, data: Data, minutes: float) -> int:
    """How many steps a recipe makes in a budget; its pace is measured once and kept in the folder of the data.

    A training of n steps costs a + b n CPU seconds: its start and compilation, which count, and its steps. Measure on a
    machine that does nothing else: others make the CPU slower. The trainings themselves may share it, since
    their steps are then fixed.

    Args:
        recipe: what trains.
        data: what it trains on.
        minutes: CPU minutes of the whole process.
    """
    kept = data.folder / "paces.json"
    paces = json.loads(kept.read_text()) if kept.exists() else {}
    words = recipe.command(data, Job(2, 1.0, 0, Path()))[1:]  # Wherever Python is.
    key = " ".join(word for word in words if not word.startswith(_SAME_PACE))
    key = key.replace(str(data.folder), "FOLDER").replace(f"{ROOT}/", "")
    if key not in paces:
        with tempfile.TemporaryDirectory() as folder:
            jobs = [Job(steps, recipe.rates[0], 0, Path(folder, str(steps))) for steps in data.probes]
            short, long = (_train(recipe, data, job) for job in jobs)
        few, many = data.probes
        a_step = (long - short) / (many - few)
        if a_step <= 0:
            raise SystemExit(f"{many} steps took no more CPU time than {few}: the machine is too busy to measure it.")
        paces[key] = {"start": short - few * a_step, "step": a_step}
        kept.write_text(json.dumps(paces, indent=1))
    pace = paces[key]
    steps = int((60 * minutes - pace["start"]) / pace["step"])
    if steps < 2:
        raise SystemExit(f"{minutes} CPU minutes are too few: starting alone takes {pace['start']:.0f} s.")
    return steps


def measure(
    recipe: Recipe, data: Data, *, minutes: float, rate: float, seed: int, evaluations: Sequence[str]
) -> dict[str, Any]:
    """Trains once, and evaluates.

    Returns:
        `steps`, `cpu_minutes` as spent, and for each evaluation the masked-LM `loss` in nats, the `accuracy` and the
        number of `predictions`.
    """
    steps = steps_of_budget(recipe, data, minutes)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(steps, rate, seed, Path(folder, "run"))
        seconds = _train(recipe, data, job)
        results = {name: _evaluate(recipe.model(job), data.folder / f"evaluation-{name}") for name in evaluations}
    return {"steps": steps, "cpu_minutes": seconds / 60, **results}


def _train(recipe: Recipe, data: Data, job: Job) -> float:
    """Trains; returns the CPU seconds of the whole process, its start included."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(recipe.command(data, job), cwd=ROOT, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            raise SystemExit(f"A training failed:\n{log.read()[-3000:]}")
    shutil.rmtree(f"{job.output}/model.trainer", ignore_errors=True)
    return usage.ru_utime + usage.ru_stime


def _evaluate(model: Path, corpus: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipeline", "evaluate", "--run", str(model), "--corpus", str(corpus)]
    command += ["--pseudo-tokens", "0", "--json", "--no-progress"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    (found,) = json.loads(done.stdout).values()
    return found
