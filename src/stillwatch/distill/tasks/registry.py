"""Finds a task by its name: a module of this folder with NAME."""

from functools import lru_cache
from typing import cast

from stillwatch.distill import PlanError, Task
from stillwatch.plugins import modules_of


@lru_cache(maxsize=1)
def tasks() -> dict[str, Task]:
    """Return every task by its name."""
    found = modules_of("stillwatch.distill.tasks")
    return {module.NAME: cast(Task, module) for module in found if hasattr(module, "NAME")}


def task(name: str) -> Task:
    """Return a task. Raises: PlanError with the names of all tasks."""
    try:
        return tasks()[name]
    except KeyError:
        raise PlanError(f"there is no task {name!r}; there are {', '.join(sorted(tasks()))}") from None
