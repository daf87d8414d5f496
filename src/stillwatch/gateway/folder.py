"""The folder of one gateway: the paths of its files, and the secret that all keys are derived from."""

import hashlib
import secrets
from pathlib import Path

from stillwatch.errors import StillwatchError, refuse_os_errors
from stillwatch.folder_paths import Below, FolderPaths
from stillwatch.new_file import replace_file

SECRET_BYTES = 32
OWN_SEGMENTS = "own-segments"  # in a fleet: a link to this gateway's part of the shared folder


class FolderError(StillwatchError):
    """The gateway's folder cannot be used."""


class Folder(FolderPaths):
    """Paths below one gateway's folder."""

    terms = Below("terms.toml")
    secret_file = Below("secret")
    settings = Below("serve.json")
    state = Below("state.db")
    objects = Below("objects.db")
    wal = Below("wal")
    segments = Below("segments")
    gaps = Below("gaps.jsonl")
    detector = Below("detector")
    cases = Below("cases.db")
    coin = Below("coin")
    run = Below("run")

    @property
    def own_segments(self) -> Path:
        """Where this gateway writes its segments; in a fleet `segments` has one folder per gateway."""
        return self.path / OWN_SEGMENTS if self.segments.is_symlink() else self.segments

    def segment_folders(self) -> list[tuple[str, Path]]:
        """Return each gateway's segment folder, with the prefix of its names (empty outside a fleet)."""
        if not self.segments.is_symlink():
            return [("", self.segments)]
        return [
            (f"{subfolder.name}/", subfolder)
            for subfolder in sorted(self.segments.iterdir())
            if subfolder.is_dir()
        ]

    def secret(self) -> bytes:
        """Return the folder's secret. Raises: FolderError if it is missing or damaged."""
        with refuse_os_errors(FolderError, f"{self.secret_file}: cannot read the secret"):
            secret = self.secret_file.read_bytes()
        if len(secret) != SECRET_BYTES:
            raise FolderError(
                f"{self.secret_file}: holds {len(secret)} bytes, not {SECRET_BYTES}; put back the one that "
                "the folder was made with: keys and captured exchanges cannot be read with another"
            )
        return secret


def open_folder(path: str | Path) -> Folder:
    """Create a gateway's folder, or the missing parts of one. Raises: FolderError if it cannot be written."""
    folder = Folder(Path(path).resolve())
    try:
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for below in (folder.wal, folder.segments, folder.detector, folder.run):
            if below.is_symlink():  # in a fleet: see fleet.storage
                continue
            below.mkdir(exist_ok=True, mode=0o700)
        if not folder.secret_file.exists():
            replace_file(folder.secret_file, [secrets.token_bytes(SECRET_BYTES)])
    except OSError as why:
        raise FolderError(
            f"{why.filename or path}: cannot be used: {why.strerror}; give another --folder"
        ) from why
    folder.secret()
    return folder


def derive(secret: bytes, purpose: bytes) -> bytes:
    """Return the 32-byte key for one purpose (a name of at most 16 bytes), from the folder's secret."""
    return hashlib.blake2b(secret, digest_size=32, person=purpose).digest()
