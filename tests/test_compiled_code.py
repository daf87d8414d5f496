"""The library of the compiled kernels: its place, its build, and the arguments that a call refuses."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.cli import main
from stillwatch.compiled_code import build, library
from stillwatch.compiled_code.library import kernels
from stillwatch.errors import StillwatchError
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.stats.dealing import deal

SKETCHER = Sketcher()


@pytest.fixture
def read_only_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package without a library, in a read-only place; the home's cache folder is a file."""
    package, temporary = tmp_path / "package", tmp_path / "temporary"
    package.mkdir()
    temporary.mkdir()
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr(library, "SOURCES", package)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


@pytest.mark.slow
def test_a_library_is_built_once_in_a_folder_of_its_own(read_only_package: Path) -> None:
    built = library._library()
    assert built.parent.parent == read_only_package
    assert built.parent.stat().st_mode & 0o777 == 0o700
    assert library._load(built)["mix"](1) == kernels.mix(1)
    seen = built.stat().st_mtime_ns
    assert library._library().stat().st_mtime_ns == seen
    assert [path.name for path in built.parent.iterdir()] == [built.name]


@pytest.mark.parametrize("trap", ["open to all", "link", "file"])
def test_code_that_somebody_else_may_have_put_there_is_not_loaded(read_only_package: Path, trap: str) -> None:
    there = read_only_package / f"stillwatch-compiled-{os.getuid()}"
    if trap == "link":
        (read_only_package / "theirs").mkdir(mode=0o700)
        there.symlink_to(read_only_package / "theirs")
    elif trap == "file":
        there.write_text("")
    else:
        there.mkdir()
        there.chmod(0o777)
    chosen = library._own_folder()
    assert chosen != there
    assert chosen.stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_compile_the_message_says_what_would_help(
    read_only_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "compiler", lambda: None)
    with pytest.raises(StillwatchError, match=r"apt-get install gcc.* pip install ziglang"):
        library._library()


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(build.BuildError, match="false could not build"):
        build.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_sources_have_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = build.library_name()
    for path in build.SOURCES.glob("*.[ch]"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    assert build.library_name() == name
    (tmp_path / "shared.h").write_text("/* changed */")
    assert build.library_name() != name


def test_every_declaration_is_understood() -> None:
    declared = [line for line in library._HEADER.splitlines() if " sw_" in line and "(" in line]
    kernels.mix(0)
    assert len(declared) == len(vars(kernels)) > 40
    with pytest.raises(AttributeError, match="declares no sw_unheard_of"):
        kernels.unheard_of(1)


def test_a_call_refuses_what_it_would_misread() -> None:
    keys, begin, fill, order = (
        np.array([1, 0]),
        np.zeros(3, np.int64),
        np.zeros(2, np.int64),
        np.zeros(2, np.int32),
    )
    with pytest.raises(Exception, match="an array of int64, not int32"):
        kernels.deal(keys.astype(np.int32), 2, 2, begin, fill, order)
    with pytest.raises(Exception, match="an array of int64, not"):
        kernels.deal([1, 0], 2, 2, begin, fill, order)
    begin.flags.writeable = False
    with pytest.raises(Exception, match="must be writeable"):
        kernels.deal(keys, 2, 2, begin, fill, order)
    with pytest.raises(Exception, match="in C's order"):
        kernels.deal(keys, 2, 2, np.zeros(6, np.int64)[::2], fill, order)


def test_what_is_read_may_lie_anyhow() -> None:
    apart = np.array([2, 9, 0, 9, 2, 9])[::2]
    unaligned = np.frombuffer(b"x" + np.array([2, 0, 2]).tobytes(), np.uint8)[1:].view(np.int64)
    for keys in (apart, unaligned, np.array([2, 0, 2])):
        assert [part.tolist() for part in deal(keys, 3)] == [[0, 1, 1, 3], [1, 0, 2]]


@pytest.mark.slow
@given(st.lists(st.integers(-1, 6), max_size=40))
def test_dealing_is_a_stable_sort(keys: list[int]) -> None:
    for kind in (np.int32, np.int64):
        begin, order = deal(np.array(keys, kind), 7)
        assert order.tolist() == np.argsort(keys, kind="stable").tolist()
        assert begin.tolist() == np.searchsorted(np.sort(keys), range(8)).tolist()


@given(st.binary(max_size=300), st.integers(0, 3))
def test_bytes_that_are_no_text_are_sketched_inside_their_bounds(data: bytes, cut: int) -> None:
    """Bytes after a text do not change its sketch, even if a character is cut off."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    behind = [data + tail for tail in (b"", b"\x80\x80\x80://x", b"word" * cut)]
    columns = [pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(one)]) for one in behind]
    first, *others = map(SKETCHER, columns)
    for other in others:
        assert all(np.array_equal(column, vars(other)[name]) for name, column in vars(first).items())
    assert all(SKETCHER.words(column).tolist() == first.words.tolist() for column in columns)


def test_a_fault_of_the_program_is_not_taken_for_a_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(main, "app", broken)
    with pytest.raises(SystemExit) as left:
        main.run()
    assert left.value.code == 70


def test_the_import_alone_stays_cheap() -> None:
    code = "import sys, stillwatch; print(*({'tempfile', 'shutil', 'numpy', 'ctypes'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])})  # fmt: skip
    assert done.stdout.split() == []


@given(
    st.lists(
        st.sampled_from([b'"', b"\\", b":", b" ", b"\n", b"\x0b", b"a", b'":', b'\\" :', b"\\u000", b"0"]),
        max_size=30,
    ).map(b"".join)
)
def test_keys_and_escapes_are_those_that_a_pattern_finds(raw: bytes) -> None:
    ends = [found[0].count(b"\\") % 2 for found in re.finditer(rb'(\\*)"[ \t\r\n]*:', raw)]
    assert kernels.key_ends(raw, len(raw)) == ends.count(0)
    assert kernels.has_nul_escape(raw, len(raw)) == (b"\\u0000" in raw)
