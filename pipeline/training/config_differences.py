"""Whether a run's configuration is still the one that it began with."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.config.tree import to_dict
from pipeline.training.configs import ExperimentConfig

# A corpus may be moved: its manifest identifies it. On other devices, and with other padding, a run continues as it
# would have here, up to rounding; in loops of other lengths, exactly so.
_FREE = (
    "task.train_data.input_path",
    "task.train_data.stages.input_path",
    "task.validation_data.input_path",
    "task.train_data.trim",
    "task.validation_data.trim",
    "runtime.distribution_strategy",
    "runtime.tpu",
    "trainer.steps_per_loop",
)
_STEPS = "trainer.train_steps"
_OPTIMIZER = "trainer.optimizer."
# What a finished run may have otherwise from `restart_step` on: its schedule, and what changes no number.
LENGTHENED = (
    _STEPS,
    "trainer.restart_step",
    "trainer.budget",
    "trainer.warmup_share",
    "trainer.early_stopping",
    *(_OPTIMIZER + name for name in ("learning_rate", "end_learning_rate", "warmup_steps", "warmup_start")),
    *(_OPTIMIZER + name for name in ("decay", "decay_power", "decay_steps", "decay_form")),
    *(f"trainer.{name}_interval" for name in ("summary", "validation", "checkpoint")),
    "trainer.max_to_keep",
    "trainer.steps_per_loop",
    "trainer.example",
)
# Options that `resolve` takes from others if they are left open: a change is reported once.
_DERIVED = {
    f"task.{data}.{name}": source
    for data in ("train_data", "validation_data")
    for name, source in (("seed", "trainer.seed"), ("masking_schedule_steps", _STEPS))
}


def differing_options(held: ExperimentConfig, wanted: ExperimentConfig, *, but: Collection[str] = ()) -> list[str]:
    """In which options a run in a folder is another one than the one that is wanted, as sentences.

    More steps are no difference where the steps before would have been the same.

    Args:
        held: the configuration of the run in the folder.
        wanted: the configuration that is wanted.
        but: options that may differ, beside those that always may.
    """
    there, now = flatten(to_dict(held)), flatten(to_dict(wanted))
    differing = []
    for name in sorted({*there, *now}):
        is_free = re.sub(r"\[\d+\]", "", name) in _FREE or name in but
        if is_free or there.get(name) == now.get(name):
            continue
        source = _DERIVED.get(name, "")
        if source and there[name] == there[source] and now[name] == now[source]:
            continue
        if name == _STEPS and _goes_on(held, wanted):
            continue
        differing.append(f"{name} is {there.get(name)!r} there and {now.get(name)!r} now")
    return differing


def _goes_on(held: ExperimentConfig, wanted: ExperimentConfig) -> bool:
    """Whether a run may be given more steps: nothing that it has done so far depends on their number."""
    before, after = held.task.train_data, wanted.task.train_data
    same_masks = before.final_masked_lm_prob is None or before.masking_schedule_steps == after.masking_schedule_steps
    longer = wanted.trainer.train_steps > held.trainer.train_steps
    return longer and same_masks and held.trainer.optimizer.decay == "constant"


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping by paths such as "a.b[0].c"."""
    if isinstance(value, Mapping):
        pairs = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {name: leaf for inner, item in pairs for name, leaf in flatten(item, inner).items()}
