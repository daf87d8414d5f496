"""A researcher's own Python file that raised: what, and on which of its lines. It runs no file."""

import traceback
from pathlib import Path


def describe_error(error: BaseException, file: str | Path) -> str:
    """Say what a file raised, with the line of it that was at work.

    >>> describe_error(ValueError("oh"), "mine.py")
    'ValueError: oh'
    """
    said = f"{type(error).__name__}: {error}"
    place = Path(file).resolve()
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == place
    ]
    return f"line {lines[-1]}: {said}" if lines else said
