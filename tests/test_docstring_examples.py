"""The examples in docstrings show what the code returns."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"


def modules_with_examples() -> list[str]:
    files = [file for file in sorted(SOURCE.rglob("*.py")) if ">>> " in file.read_text(encoding="utf-8")]
    return [
        ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for file in files
    ]


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples(module: str) -> None:
    assert doctest.testmod(import_module(module)).failed == 0
