"""TOML that people or programs write: read back unchanged, and mistakes reported with their line."""

from pathlib import Path

import pytest

from stillwatch.distill import PlanError
from stillwatch.distill.plan import load
from stillwatch.errors import InputError
from stillwatch.exchanges.mapping import from_file
from stillwatch.toml.document import parse, quote

HOSTILE = [
    "", " ", "a" * 30_000, " " * 2_500, "\n" * 2_500, "." * 40_000, '"""' * 900, "\\" * 2_001,
    "x" * 999 + "\n\n" + "y" * 3_000, "\U0001f600\x7f\x00\r\t\u2028\U000e0001" * 400,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_is_written_is_read_back(text: str) -> None:
    written = f"a = {quote(text)}\nb = 7"
    table = parse(written, "t.toml")
    assert table.content == {"a": text, "b": 7}
    assert table.notes.line(("b",)) == written.count("\n") + 1


def test_half_a_character_is_replaced() -> None:
    assert parse(f"a = {quote('x' + chr(0xD800))}", "t.toml").content == {"a": "x\ufffd"}


def test_numbers_that_no_float_holds_are_mistakes_with_a_line(tmp_path: Path) -> None:
    plan, mapping = tmp_path / "plan.toml", tmp_path / "map.toml"
    for number in ("1" + "0" * 400, "0x" + "f" * 5_000, "-1" + "0" * 400):
        for key in ("prices.input", "collect.timeout_s", "budget.usd", "evaluate", "train.x"):
            plan.write_text(f"\n{key} = {number}\n")
            with pytest.raises(PlanError, match=r"plan\.toml:2: "):
                load(plan, {})
        mapping.write_text(f"[columns]\ntime = {number}\n")
        with pytest.raises(InputError, match=r"map\.toml:2: "):
            from_file(mapping)
    for value in ("2024-01-01", "nan"):
        plan.write_text(f"\ncollect.extra.x = {value}\n")
        with pytest.raises(PlanError, match=r"plan\.toml:2: "):
            load(plan, {})
