"""Build the kernels' library from its C sources with whatever C compiler is at hand.

It uses the standard library alone: the package's build runs this file before anything is installed.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parent
# -ffp-contract=off: a product and a sum stay two roundings, so that every machine gives the same figures
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-ffp-contract=off")
NO_COMPILER = (
    "no C compiler to build Stillwatch's kernels with: install one (Debian: apt-get install gcc libc6-dev; "
    "else: pip install ziglang), or install a wheel for this platform"
)


class BuildError(Exception):
    """The library cannot be built; the message says what would help."""


def library_name() -> str:
    """The library's file name: another one for other sources, flags or machines."""
    digest = hashlib.sha256(" ".join((*FLAGS, sys.platform, platform.machine())).encode())
    for path in sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")]):
        digest.update(path.read_bytes())
    return f"kernels-{digest.hexdigest()[:16]}.so"


def compiler() -> list[str] | None:
    """The command of a C compiler: $CC, the system's, else the one that PyPI's `ziglang` brings."""
    if named := os.environ.get("CC"):
        return named.split()
    if found := next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None):
        return [found]
    if find_spec("ziglang"):  # of itself it takes what only this processor has, and traps what C leaves open
        return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline", "-fno-sanitize=undefined"]
    return None


def build(folder: Path) -> Path:
    """Build the library into a folder, whole or not at all, and give its path.

    Raises: BuildError where there is no compiler, or it fails; OSError where the folder cannot be written.
    """
    command = compiler()
    if command is None:
        raise BuildError(NO_COMPILER)
    to = folder / library_name()
    sources = sorted(path.name for path in SOURCES.glob("*.c"))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".kernels-") as apart:
        made = Path(apart, "kernels.so")
        done = subprocess.run(
            [*command, *FLAGS, "-o", str(made), *sources, "-lm"],
            cwd=SOURCES,  # names without a path: the same library wherever the sources lie
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise BuildError(f"{command[0]} could not build Stillwatch's kernels: {last}")
        made.replace(to)
    if folder == SOURCES:  # those of earlier sources; who runs them goes on
        for older in folder.glob("kernels-*.so"):
            if older != to:
                older.unlink(missing_ok=True)
    return to
