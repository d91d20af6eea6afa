"""Counts how many small faults, planted one at a time, the tests of a module find: mutation testing with cosmic-ray.

Tries a seeded sample of all mutants of the modules without Beam and TensorFlow, and of the order in which records are
read. Each mutant runs only against the tests of its module, in a copy of the checkout, in the environment of
`--python`. Prints a table, and writes the surviving mutants to `out/mutation/survivors.diff`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out" / "mutation"
TREE = OUT / "tree"
MODULES = (
    "pipeline/manifest.py",
    "pipeline/seeding.py",
    "pipeline/records/*.py",
    "pipeline/text/**/*.py",
    "pipeline/tokenizers/**/*.py",
    "pipeline/instances/*.py",
    "pipeline/masking/*.py",
    "pipeline/inspection/validation/*.py",
    "pipeline/training/data/order.py",
)


def main() -> int:
    """Runs the mutants; returns 1 if the share of killed ones is below `--at-least`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, help="globs of modules (default: the pure layers)")
    parser.add_argument("--python", default=sys.executable, help="interpreter that the tests run with")
    parser.add_argument("--sample", type=int, default=100, help="how many mutants to try")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--at-least", type=float, default=0.0, help="share of mutants that must be killed")
    arguments = parser.parse_args()

    copy_checkout()
    modules = sorted({path.relative_to(TREE) for glob in arguments.modules for path in TREE.glob(glob)})
    os.chdir(TREE)
    mutants = [mutant for module in modules for mutant in mutants_of(module)]
    sample = random.Random(arguments.seed).sample(mutants, min(arguments.sample, len(mutants)))
    print(f"{len(mutants):,} mutants of {len(modules)} modules; trying {len(sample)} (seed {arguments.seed})")

    python = os.path.abspath(ROOT / arguments.python)
    seconds = seconds_without_mutant({tests_of(mutant.module_path) for mutant in sample}, python)
    killed, tried, survivors = Counter[Path](), Counter[Path](), []
    for mutant in tqdm(sorted(sample, key=lambda mutant: (str(mutant.module_path), mutant.start_pos)), unit="mutant"):
        tests = tests_of(mutant.module_path)
        with environment_of(mutant.module_path):
            result = mutate_and_test([mutant], shlex.join(command(python, tests)), timeout=30 + 5 * seconds[tests])
        tried[mutant.module_path] += 1
        if result.test_outcome == TestOutcome.SURVIVED:
            survivors.append(result.diff or "")
        else:
            killed[mutant.module_path] += 1
    (OUT / "survivors.diff").write_text("\n".join(survivors), encoding="utf-8")
    print("\n".join(survivors))
    for module in sorted(tried):
        print(f"{killed[module]:4} of {tried[module]:4}  {module}")
    share = killed.total() / tried.total()
    print(f"{killed.total()} of {tried.total()} mutants were killed by their module's own tests: {share:.1%}")
    return int(share < arguments.at_least)


def copy_checkout() -> None:
    """Copies tracked and new files to a separate tree, so that a stopped run leaves its mutant only there."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)


def mutants_of(module: Path) -> list[MutationSpec]:
    """Returns the mutants of a module, except those that change no result: of annotations and dataclass options, and
    those that replace identity by equality, which is the same for most values.
    """
    skipped = list(declarations(ast.parse(module.read_text(encoding="utf-8"))))
    mutants = (item.mutations[0] for item in _all_work_items([module], {}))
    return [
        mutant
        for mutant in mutants
        if not any(start <= mutant.start_pos < end for start, end in skipped)
        and (not mutant.operator_name.endswith(("_Is", "_IsNot")) or mutant.operator_name.count("_Is") == 2)
    ]


def declarations(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yields where annotations and `@dataclass(...)` begin and end: (line, column)."""
    for node in ast.walk(tree):
        decorators = [d for d in getattr(node, "decorator_list", ()) if "dataclass" in ast.unparse(d)]
        for found in (getattr(node, "annotation", None), getattr(node, "returns", None), *decorators):
            if isinstance(found, ast.expr):
                yield (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)


def tests_of(module: Path) -> tuple[str, ...]:
    """Returns the tests of a module: the file of its name, otherwise those of its folder that name it, otherwise all
    of its folder.
    """
    folder = Path("tests", *module.parts[1:-1])
    own = folder / f"test_{module.stem}.py"
    if own.exists():
        return (str(own),)
    name = ".".join(module.with_suffix("").parts)
    of_folder = sorted(folder.glob("test_*.py"))
    return tuple(map(str, [path for path in of_folder if name in path.read_text(encoding="utf-8")] or of_folder))


def command(python: str, tests: tuple[str, ...]) -> list[str]:
    """Returns the command that runs tests in the copy."""
    return [python, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "-m", "not slow", *tests]


@contextlib.contextmanager
def environment_of(module: Path) -> Iterator[None]:
    """Sets the environment of a mutant's tests, without bytecode or compiled loops of other mutants of the module."""
    compiles = "pipeline.compiling" in module.read_text(encoding="utf-8")
    cache = tempfile.mkdtemp(dir=OUT) if compiles else str(OUT / "compiled")
    os.environ.update(PYTHONPATH=str(TREE), PYTHONDONTWRITEBYTECODE="1", NUMBA_CACHE_DIR=cache)
    try:
        yield
    finally:
        if compiles:
            shutil.rmtree(cache)


def seconds_without_mutant(all_tests: set[tuple[str, ...]], python: str) -> dict[tuple[str, ...], float]:
    """Measures how long each set of tests takes; exits if one fails, since it would kill every mutant."""
    seconds = {}
    for tests in tqdm(sorted(all_tests), unit="test set", desc="without mutants"):
        start = time.monotonic()
        with environment_of(Path("pipeline/seeding.py")):
            done = subprocess.run(command(python, tests), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"These tests fail without a mutant: {' '.join(tests)}\n{done.stdout[-3000:]}")
        seconds[tests] = time.monotonic() - start
    return seconds


if __name__ == "__main__":
    sys.exit(main())
