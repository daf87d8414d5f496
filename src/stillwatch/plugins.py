"""Other people's Python: what installed packages add under entry points, and a researcher's own files.

Anything that it raises is reported with its place.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from stillwatch.errors import InputError, StillwatchError


def describe_error(error: BaseException, file: str | Path) -> str:
    """Describe what a file raised, with the line of it that was running.

    >>> describe_error(ValueError("oh"), "mine.py")
    'ValueError: oh'
    """
    text = f"{type(error).__name__}: {error}"
    place = Path(file).resolve()
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == place
    ]
    return f"line {lines[-1]}: {text}" if lines else text


@contextmanager
def blamed_on(place: str, file: str | Path = "") -> Iterator[None]:
    """Run other people's code. Raises: InputError with the place, for anything that it raises."""
    try:
        yield
    except StillwatchError:
        raise
    except (Exception, SystemExit) as error:  # anything that plugin code raises is the plugin's fault
        raise InputError(f"{place}: {describe_error(error, file)}") from error


def installed(group: str, needs: Mapping[str, Any]) -> list[Any]:
    """Load what packages offer under an entry point group, sorted by name.

    needs: the attributes that each must have, with their types.
    Raises: InputError for one that cannot be loaded, lacks an attribute, or has it of another type.
    """
    found = []
    for point in sorted(metadata.entry_points(group=group), key=lambda point: point.name):
        where = f"entry point {point.name} = {point.value} of {group}"
        with blamed_on(f"{where}: cannot be loaded"):
            module = point.load()
        if lacks := [name for name in needs if not hasattr(module, name)]:
            raise InputError(f"{where}: has no {' and no '.join(lacks)}")
        for name, kind in needs.items():
            if not isinstance(getattr(module, name), kind):
                right = "a function" if kind is Callable else kind.__name__
                raise InputError(
                    f"{where}: its {name} is {getattr(module, name)!r:.100}; right would be {right}"
                )
        found.append(module)
    return found


def modules_of(package: str) -> list[ModuleType]:
    """Import the modules of a package, sorted by name."""
    names = sorted(one.name for one in iter_modules(import_module(package).__path__))
    return [import_module(f"{package}.{name}") for name in names]


def named_modules(package: str, group: str, what: str, function: str, needs: Mapping[str, Any]) -> list[Any]:
    """Return a package's modules that have a function, then those that installed packages add, by name.

    what: what they are, in the plural. needs: their other attributes, as for `installed`, besides `NAME`.
    Raises: InputError, also for a name that is taken.
    """
    found: list[Any] = [one for one in modules_of(package) if hasattr(one, function)]
    found += installed(group, {**needs, function: Callable})
    if twice := [name for name, n in Counter(one.NAME for one in found).items() if n > 1]:
        raise InputError(f"{group}: several {what} are named {', '.join(twice)}; a name stands for one")
    return found


def load_file(path: Path, needs: Iterable[str], wanted: str) -> Any:
    """Run a Python file as a module. wanted: the message for a file that is not a module, or lacks what it
    needs.

    Raises: InputError.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file; {wanted}")
    spec = spec_from_file_location(f"stillwatch_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file; {wanted}")
    module = module_from_spec(spec)
    with blamed_on(f"{path}: cannot be loaded", path):
        spec.loader.exec_module(module)
    if lacks := [name for name in needs if not hasattr(module, name)]:
        raise InputError(f"{path}: offers no {' and no '.join(lacks)}; {wanted}")
    return module
