"""Where compiled code is kept when neither the package nor the home can be written. It compiles nothing.

numba keeps what it has compiled beside the source, else in the user's cache, and otherwise refuses to start:
a container without a writable home, or a systemd unit with ProtectSystem=strict. Then it goes into a private
folder for temporary files: whoever could write there would run as this user, so nobody else may.
"""

import os
import stat
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
PACKAGE = Path(__file__).parent


def choose_place(package: Path = PACKAGE) -> None:
    """Name a folder for compiled code in the environment, where numba would find none by itself.

    It has to be done before numba is loaded; processes that are started find it in their environment.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not os.environ.get(VARIABLE) and not _can_write(package) and not _can_write(user_cache):
        os.environ[VARIABLE] = str(_private_folder())


def _can_write(path: Path) -> bool:
    """Whether a folder can be written, or made where it is not there."""
    there = next(one for one in (path, *path.parents) if one.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _private_folder() -> Path:
    """A folder that is this user's alone: the same one again, else one that is removed at the end."""
    import atexit  # what follows is hardly ever needed, and every command would wait for it
    import shutil
    import tempfile

    path = Path(tempfile.gettempdir(), f"stillwatch-compiled-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        found = None
    if found and stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return path
    fresh = Path(tempfile.mkdtemp(prefix="stillwatch-compiled-"))
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)
    return fresh
