"""Imports what the extra `train` brings, or says how to get it. It does not know what is done with it."""

import os
import warnings
from importlib import import_module
from typing import Any

from stillwatch.errors import InputError

# Said before the libraries are imported: no warning that their trainers are experimental (the version is
# pinned for that reason), no look-up of anything on a hub for a model that lies in a folder.
QUIET = {
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def need(module: str) -> Any:
    """Import a module of the extra `train`.

    Raises: InputError naming the command that installs it, where it is absent.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # what these libraries tell one another's developers about names that will change
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|accelerate)\b")
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise InputError(
            f"training needs {module}, which is not installed: pip install 'stillwatch[train]'"
        ) from error
