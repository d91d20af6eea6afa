"""Prints the table, and draws the picture, of what `bench/corpus_jobs.py` measured.

python -m bench.corpus_report out/bench/results.jsonl --picture docs/performance.svg
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from pipeline.inspection.svg import Axis, named_lines

Runs = dict[tuple[int, str], dict[float, dict[str, float]]]
REFERENCE = "tensorflow/models"
_CHART_HEIGHT, _CHART_SIZE = 260, 'width="640" height="260"'
_STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #555; } .name { text-anchor: end; } .tick { text-anchor: middle; }"
    " .grid { stroke: #ddd; }"
)


def read(path: Path) -> Runs:
    """Reads the medians over the rounds: by length and job, by megabytes of text, by quantity."""
    rounds: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for line in path.read_text().splitlines():
        run = json.loads(line)
        rounds[run["seq_length"], run["job"], run["megabytes"]].append(run)
    medians: Runs = {}
    for (length, job, size), runs in sorted(rounds.items()):
        names = [name for name, value in runs[0].items() if isinstance(value, int | float)]
        found = {name: statistics.median(run[name] for run in runs) for name in names}
        medians.setdefault((length, job), {})[size] = found
    return medians


def pace(sizes: dict[float, dict[str, float]], what: str, per: str, *, up_to: float = float("inf")) -> float:
    """Returns `what` per `per`, between the two largest texts of at most `up_to` MB, which excludes the start-up."""
    *_, small, large = sorted(size for size in sizes if size <= up_to)
    return (sizes[large][what] - sizes[small][what]) / (sizes[large][per] - sizes[small][per])


def table(runs: Runs) -> str:
    """Formats a row of Markdown for each job, with ratios to tensorflow/models at the same length."""
    rows = [
        "| length | job | examples/s | tokens/s | to tensorflow/models | CPU s per million examples | to the"
        " limit | start-up, s | peak memory, MB | bytes per example |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (length, job), sizes in runs.items():
        if job == "limit":
            continue
        largest = sizes[max(sizes)]
        tokens_a_second, examples_a_second = pace(sizes, "tokens", "seconds"), pace(sizes, "examples", "seconds")
        start = largest["seconds"] - largest["examples"] / examples_a_second
        reference = runs.get((length, REFERENCE))
        ratio = f"{tokens_a_second / pace(reference, 'tokens', 'seconds'):.1f}x" if reference else ""
        cpu = 1e6 * pace(sizes, "cpu_seconds", "examples")
        limit = next(iter(runs.get((length, "limit"), {}).values()), None)
        is_same_work = limit and job.startswith("this project") and "packed" not in job and "GZIP" not in job
        least = 1e6 * (limit["tokenizing"] + limit["writing"]) / limit["examples"] if limit else 0
        rows.append(
            f"| {length} | {job} | {examples_a_second:,.0f} | {tokens_a_second:,.0f} | {ratio} | {cpu:.1f} |"
            f" {f'{cpu / least:.2f}x' if is_same_work else ''} | {max(start, 0):.1f} |"
            f" {largest['peak_bytes'] / 1e6:,.0f} | {largest['bytes'] / largest['examples']:,.0f} |"
        )
    return "\n".join(rows)


def notes(runs: Runs, length: int = 128) -> str:
    """Formats comparisons that the table lacks, because its rows are for different sizes of text."""
    lines = []
    one, two = (runs.get((length, f"this project, {workers}")) for workers in ("1 worker", "2 workers"))
    if one and two:
        ratio = pace(two, "tokens", "seconds", up_to=max(one)) / pace(one, "tokens", "seconds")
        lines.append(f"Two workers make {ratio:.2f} times what one makes, up to {max(one):g} MB of text.")
    if reference := runs.get((length, REFERENCE)):
        *_, small, large = sorted(reference)
        growth = (reference[large]["peak_bytes"] - reference[small]["peak_bytes"]) / (large - small) / 1e6
        lines.append(f"{REFERENCE} takes {growth:.0f} bytes more for each byte of text.")
    return "\n".join(lines)


def picture(runs: Runs, length: int = 128) -> str:
    """Draws time and memory against the size of the text, on logarithmic axes, as SVG."""
    jobs = {job: sizes for (its_length, job), sizes in runs.items() if its_length == length and job != "limit"}
    sizes_seen = [size for sizes in jobs.values() for size in sizes]
    x = Axis("text, MB", min(sizes_seen), max(sizes_seen), True)
    charts = []
    for what, label, scale in (("seconds", "seconds", 1.0), ("peak_bytes", "peak memory, MB", 1e-6)):
        named = {job: [(size, run[what] * scale) for size, run in sorted(sizes.items())] for job, sizes in jobs.items()}
        values = [value for points in named.values() for _, value in points]
        chart = named_lines(named, x, Axis(label, min(values) / 1.2, max(values) * 20, True))
        charts.append(chart.replace("<svg ", f'<svg y="{_CHART_HEIGHT * len(charts)}" {_CHART_SIZE} ', 1))
    height = _CHART_HEIGHT * len(charts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}"><style>{_STYLE}</style>'
    return f'{head}<rect width="640" height="{height}" fill="#fff"/>{"".join(charts)}</svg>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--picture", type=Path, help="file to write the picture to, .svg")
    arguments = parser.parse_args()
    runs = read(arguments.results)
    print(table(runs), notes(runs), sep="\n\n")
    if arguments.picture:
        arguments.picture.write_text(picture(runs) + "\n")


if __name__ == "__main__":
    main()
