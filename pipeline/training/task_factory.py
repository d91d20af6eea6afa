"""Tasks by the class of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

TaskT = TypeVar("TaskT", bound=type)

_TASKS: dict[type, Any] = {}


def register_task_cls(config_class: type) -> Callable[[TaskT], TaskT]:
    """Registers the decorated task for configurations of `config_class`."""

    def register(task_class: TaskT) -> TaskT:
        if config_class in _TASKS:
            raise ValueError(f"{config_class.__name__} has a task already: {_TASKS[config_class]}.")
        _TASKS[config_class] = task_class
        return task_class

    return register


def get_task(*arguments: Any, **kwargs: Any) -> Any:
    """Makes a task: `get_task(config)`, or `get_task(task_class, config)`.

    Raises:
        ValueError: if no task is registered for the configuration.
    """
    *task_class, config = arguments
    if task_class:
        return task_class[0](config, **kwargs)
    return get_task_cls(type(config))(config, **kwargs)


def get_task_cls(config_class: type) -> Any:
    """The task registered for a class of configurations.

    Raises:
        ValueError: if there is none.
    """
    if config_class not in _TASKS:
        known = ", ".join(known.__name__ for known in _TASKS)
        raise ValueError(f"No task is registered for {config_class.__name__}. Known: {known}.")
    return _TASKS[config_class]
