"""Finds a task by its name: a module of this folder with NAME. It does not know what any task asks."""

import pkgutil
from functools import lru_cache
from importlib import import_module
from typing import cast

import stillwatch.distill.tasks
from stillwatch.distill import PlanError, Task


@lru_cache(maxsize=1)
def tasks() -> dict[str, Task]:
    """Every task by its name."""
    found = {}
    for one in pkgutil.iter_modules(stillwatch.distill.tasks.__path__):
        module = import_module(f"stillwatch.distill.tasks.{one.name}")
        if hasattr(module, "NAME"):
            found[module.NAME] = cast(Task, module)
    return found


def task(name: str) -> Task:
    """Give a task. Raises: PlanError naming those there are."""
    try:
        return tasks()[name]
    except KeyError:
        raise PlanError(f"there is no task {name!r}; there are {', '.join(sorted(tasks()))}") from None
