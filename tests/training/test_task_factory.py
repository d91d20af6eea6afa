from __future__ import annotations

import pytest

from pipeline.training import MaskedLMConfig, MaskedLMTask, masked_lm, task_factory


def test_both_forms_make_the_task() -> None:
    config = MaskedLMConfig()
    for task in (task_factory.get_task(config), task_factory.get_task(masked_lm.MaskedLMTask, config)):
        assert isinstance(task, MaskedLMTask)
        assert task.task_config is config


def test_registering() -> None:
    class Config:
        pass

    with pytest.raises(ValueError, match="No task is registered for Config"):
        task_factory.get_task(Config())

    @task_factory.register_task_cls(Config)
    class Task:
        def __init__(self, config: Config, name: str = "") -> None:
            self.name = name

    assert task_factory.get_task(Config(), name="mine").name == "mine"
    with pytest.raises(ValueError, match="has a task already"):
        task_factory.register_task_cls(Config)(Task)
