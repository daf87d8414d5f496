"""Imports libraries of the extra `train`, or reports how to install it."""

import os
import warnings
from importlib import import_module
from typing import Any

from stillwatch.errors import InputError

# Set before the libraries are imported: no warning that their trainers are experimental (the version is
# pinned for that reason), no look-up on a hub for a model in a folder.
QUIET = {
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def need(module: str) -> Any:
    """Import a module of the extra `train`.

    Raises: InputError with the install command, if it is absent.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # deprecations between these libraries
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|accelerate)\b")
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise InputError(
            f"training needs {module}, which is not installed: pip install 'stillwatch[train]'"
        ) from error
