"""The Python examples in documents run on the shipped sample, and print what they show."""

import contextlib
import io
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import stillwatch as sw
from stillwatch.api import scanning

ROOT = Path(__file__).parent.parent
BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```$(\n\n```\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
PAGES = [
    page for page in sorted((ROOT / "docs").glob("*.md")) if "import stillwatch as sw" in page.read_text()
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def scans() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def at_the_sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scans: dict[str, Any]) -> None:
    """A separate folder with the sample; all pages share one scan of the same files."""
    (tmp_path / "sample").symlink_to(ROOT / "sample")
    monkeypatch.chdir(tmp_path)
    real = scanning.scan

    def scan(logs: Any, accounts: Any = None, **how: Any) -> sw.ScanReport:
        paths = [name for name in (logs, accounts) if isinstance(name, str | Path)]
        if len(paths) < 2 or how:
            return real(logs, accounts, **how)
        key = " ".join(str(Path(name).resolve()) for name in paths)
        if key not in scans:
            scans[key] = real(logs, accounts)
        return scans[key]

    monkeypatch.setattr(scanning, "scan", scan)


def python_blocks(page: Path) -> list[tuple[str, str | None]]:
    """Return the blocks that use the public API, and the later ones; each with the output shown below it."""
    found = [(m[2], m[4]) for m in BLOCKS.finditer(page.read_text()) if m[1] == "python"]
    first = next(k for k, (code, _) in enumerate(found) if "import stillwatch as sw" in code)
    mine = re.compile(r"\b(sw|result|campaign)\.")
    return [(code, output) for code, output in found[first:] if mine.search(code)]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_documents_runs_and_prints_what_is_shown(page: Path) -> None:
    names: dict[str, Any] = {}
    for code, output in python_blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), names)
        if output is not None:
            assert printed.getvalue().rstrip() == output.rstrip(), code


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert "sw-" in printed or "named in a finding" in printed
    assert not re.search(r"Traceback|None", printed)


def test_the_table_of_settings_is_the_settings() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    for row in sw.Settings.describe():
        default = "all" if isinstance(row["default"], frozenset) else str(row["default"])
        line = f"| `{row['name']}` | `{default}` | {row['unit']} | {str(row['meaning']).removesuffix('.')} |"
        assert line in text, row["name"]


def test_the_reference_has_every_public_name_and_argument() -> None:
    reference = runpy.run_path(str(ROOT / "mkdocs_hooks.py"))["reference"]()
    for name in set(sw.__all__) - {"__version__"}:
        assert f"\n## {name}\n" in reference, name
    assert "DetectionSettings" not in reference
    assert re.findall(r"^ {4,}`|^- `[^`]* [a-z]+ [^`]*`", reference, re.MULTILINE) == []
    for word in ("columns", "settings", "rejected", "keep_text", "complete_until", "to_pandas", "**Raises**"):
        assert word in reference
