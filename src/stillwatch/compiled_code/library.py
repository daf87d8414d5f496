"""The kernels' library as Python calls it.

    from stillwatch.compiled_code.library import kernels

    kernels.first_seen(keys, order, len(order), taken, len(taken), first)

`kernels.h` declares every function, without the prefix `sw_` here. A call checks that each array has the type
that is declared; sizes are the caller's matter. Other threads run meanwhile. The library is built with the
package; where it is missing (a checkout, a change of the sources) it is built when it is first called.
"""

import ctypes
import os
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from stillwatch.errors import StillwatchError

if TYPE_CHECKING:
    import numpy as np

SOURCES = Path(__file__).parent
_HEADER = (SOURCES / "kernels.h").read_text()
_CONSTANTS = {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)", _HEADER, re.MULTILINE)}
_DECLARED = re.compile(r"^(\w+) sw_(\w+)\(([^)]*)\);", re.MULTILINE)
_PARAMETER = re.compile(r"(const )?(\w+) (\*?)\w+")
_NUMBERS = {"bool": ctypes.c_bool, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64}
# Where an array object holds the address of its data: the first field of NumPy's C interface. `ctypes.data`
# takes three times as long to tell it, and some kernels are called thousands of times a scan.
_DATA = object.__basicsize__


class Kernel(Protocol):
    """A function of the library: it takes arrays and numbers as `kernels.h` declares."""

    def __call__(self, *arguments: object) -> int: ...


class _Kernels:
    """The library's functions as attributes. It is loaded when the first one is asked for."""

    def __getattr__(self, name: str) -> Kernel:
        if name.startswith("_"):
            raise AttributeError(name)
        self.__dict__.update(_load(_library()))
        if name not in self.__dict__:
            raise AttributeError(f"kernels.h declares no sw_{name}")
        kernel: Kernel = self.__dict__[name]
        return kernel


kernels = _Kernels()


def constant(name: str) -> int:
    """A constant that the kernels and Python share, from `kernels.h`."""
    return _CONSTANTS[name]


def _library() -> Path:
    """Where the library lies: beside its sources, else in a folder of this user's own; else built.

    Raises: StillwatchError where it has to be built and cannot be.
    """
    from stillwatch.compiled_code.build import BuildError, build, library_name  # most commands call no kernel

    name = library_name()
    if (SOURCES / name).exists():
        return SOURCES / name
    folder = SOURCES if os.access(SOURCES, os.W_OK) else _own_folder()
    try:
        return folder / name if (folder / name).exists() else build(folder)
    except (BuildError, OSError) as error:
        raise StillwatchError(str(error)) from error


def _own_folder() -> Path:
    """A folder that this user alone can write: others could run code as him. Else one for this time alone."""
    import atexit  # what follows is hardly ever needed, and every command would wait for it
    import shutil
    import stat
    import tempfile

    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "stillwatch")
    for path in (cache, Path(tempfile.gettempdir(), f"stillwatch-compiled-{os.getuid()}")):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.lstat()
        except OSError:
            continue
        own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
        if own and os.access(path, os.W_OK | os.X_OK):
            return path
    fresh = Path(tempfile.mkdtemp(prefix="stillwatch-compiled-"))
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)
    return fresh


def _load(library: Path) -> dict[str, Kernel]:
    """The library's functions, each with the types of its declaration."""
    loaded, found = ctypes.CDLL(str(library)), dict[str, Kernel]()
    for gives, name, takes in _DECLARED.findall(_HEADER):
        function = loaded[f"sw_{name}"]
        parameters = [_PARAMETER.fullmatch(" ".join(one.split())) for one in takes.split(",")]
        function.argtypes = [_converter(*one.groups()) for one in parameters if one]
        function.restype = {"void": None, "int": _check_memory}.get(gives) or _NUMBERS.get(gives)
        found[name] = function
    return found


def _check_memory(failed: int) -> None:
    if failed:
        raise MemoryError("a kernel found no memory")


@cache
def _numpy(kind: str) -> tuple[ModuleType, "np.dtype[Any]"]:
    """NumPy and its type for one of C's. Who only looks through bytes does not need its 30 MB of memory."""
    import numpy as np

    return np, np.dtype({"float": "f4", "double": "f8"}.get(kind, kind.removesuffix("_t")))


@cache  # a type takes 70 µs to make, and there are 400 arguments of twenty kinds
def _converter(const: str | None, kind: str, pointer: str) -> type:
    """What makes one argument of a call: of a number, or of an array of one type."""
    if not pointer:
        if kind == "double":
            return ctypes.c_double
        whole = _NUMBERS[kind].from_param
        return type(kind, (), {"from_param": staticmethod(lambda value: whole(int(value)))})
    if kind == "char":
        return ctypes.c_char_p
    ndarray: Any = None  # NumPy's, and its type for C's, once an array has come
    dtype: Any = None
    held_at = ctypes.c_void_p.from_address

    def address(array: Any) -> object:
        # first what nearly every call gives: some kernels are called thousands of times a scan
        if type(array) is ndarray and array.dtype is dtype and array.flags.carray:
            return held_at(id(array) + _DATA)
        return other_address(array)

    def other_address(array: object) -> object:
        nonlocal ndarray, dtype
        if isinstance(array, ctypes.Array) and array._type_ is _NUMBERS.get(kind):
            return array
        np, dtype = _numpy(kind)
        ndarray = np.ndarray
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            raise TypeError(f"an array of {dtype}, not {getattr(array, 'dtype', type(array))}")
        if not const and not array.flags.carray:
            raise TypeError("an array that is written must be writeable and in C's order")
        if not array.flags.c_contiguous or not array.flags.aligned:
            array = np.require(array, requirements=["C", "A"])
        at = held_at(id(array) + _DATA)
        at.array = array  # type: ignore[attr-defined]  # it stays until the call is over
        return at

    return type(f"{kind} array", (), {"from_param": staticmethod(address)})
