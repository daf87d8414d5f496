"""Where compiled code goes when neither the package nor the home can be written."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stillwatch import compiled_code
from stillwatch.cli import main


@pytest.fixture
def nothing_writable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv(compiled_code.VARIABLE, raising=False)
    monkeypatch.setattr(compiled_code, "_can_write", lambda path: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_place_of_its_own_is_found_and_found_again(nothing_writable: Path) -> None:
    compiled_code.choose_place(Path("/package"))
    (made,) = nothing_writable.iterdir()
    assert os.environ[compiled_code.VARIABLE] == str(made)
    assert made.stat().st_mode & 0o777 == 0o700
    del os.environ[compiled_code.VARIABLE]
    compiled_code.choose_place(Path("/package"))
    assert os.environ[compiled_code.VARIABLE] == str(made)


@pytest.mark.parametrize("trap", ["open to all", "link", "file"])
def test_code_that_somebody_else_may_have_put_there_is_not_loaded(nothing_writable: Path, trap: str) -> None:
    there = nothing_writable / f"stillwatch-compiled-{os.getuid()}"
    if trap == "link":
        (nothing_writable / "theirs").mkdir(mode=0o700)
        there.symlink_to(nothing_writable / "theirs")
    elif trap == "file":
        there.write_text("")
    else:
        there.mkdir()
        there.chmod(0o777)
    compiled_code.choose_place(Path("/package"))
    assert os.environ[compiled_code.VARIABLE] != str(there)
    assert Path(os.environ[compiled_code.VARIABLE]).stat().st_mode & 0o777 == 0o700


def test_what_the_owner_says_and_what_can_be_written_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(compiled_code.VARIABLE, "/said")
    compiled_code.choose_place(Path("/package"))
    assert os.environ[compiled_code.VARIABLE] == "/said"
    monkeypatch.delenv(compiled_code.VARIABLE)
    compiled_code.choose_place(tmp_path)
    assert compiled_code.VARIABLE not in os.environ


def test_a_fault_of_the_program_is_not_taken_for_a_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(main, "app", broken)
    with pytest.raises(SystemExit) as left:
        main.run()
    assert left.value.code == 70


def test_the_import_alone_stays_cheap() -> None:
    code = "import sys, stillwatch; print(*({'tempfile', 'shutil', 'numpy', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])})  # fmt: skip
    assert done.stdout.split() == []
