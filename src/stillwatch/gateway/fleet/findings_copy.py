"""The findings of a fleet with an object store: uploaded where the detector runs, downloaded elsewhere.

A publication is a list of files under the number of the lease and its own number. A later lease has a higher
number, so whatever a replaced detector still uploads has an older name and is ignored. A detector starts once
its gateway has the newest publication.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stillwatch.gateway import heartbeat
from stillwatch.gateway.fleet.lease import held_number
from stillwatch.gateway.fleet.storage import COPY, read_notes, write_notes
from stillwatch.gateway.fleet.store import CODE, PROCESS, DamagedObject, ObjectGone, ObjectStore, StoredObject
from stillwatch.gateway.folder import Folder

STATE = "live.npz"  # refers to other files, so it is written last
ENDING = ".json"
_NUMBER = re.compile(r"\d{16}", re.ASCII)
_LIST = re.compile(rf"detector/(\d{{16}})/(\d{{10}})\.{CODE}\.json", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?", re.ASCII)

Sign = tuple[int, int, int]  # changes when a file is replaced: inode, size, time
Files = dict[str, tuple[str, int]]  # of a publication: path below `detector` -> object, bytes


class FindingsCopy:
    """The folder `detector` of one gateway, and its copy in the store."""

    def __init__(self, folder: Folder, store: ObjectStore) -> None:
        self.folder, self.store = folder, store
        self.root = folder.path / COPY / "detector"
        self.lease: int | None = None  # under which this gateway's files are the newest
        self.damaged: list[str] = []  # reasons why publications were ignored
        base = read_notes(folder, store).get("findings")
        self._base = (int(base[0]), int(base[1])) if isinstance(base, list) else (0, 0)
        self._known: dict[str, tuple[Sign, str, int]] = {}  # file -> sign, object, bytes
        self._put: dict[str, Sign] | None = None  # files of the last publication
        lease = heartbeat.read(folder.run / f"{PROCESS}.json").get("findings_of")
        if isinstance(lease, int) and lease == held_number(folder.run):
            self.lease = lease  # only this process was restarted

    def follow(self, number: int | None) -> None:
        """Download the newest publication, unless this gateway's detector writes its own."""
        if number is not None and number == self.lease:
            return
        self.lease = None
        self.damaged.clear()
        for base, listed in self._publications():
            if base <= self._base:
                break
            try:
                self._take(base, listed)
                break
            except DamagedObject as why:  # not of this fleet: the one before is the newest
                self.damaged.append(str(why))
            except ObjectGone:
                return  # replaced meanwhile
        if number is not None and held_number(self.folder.run) == number:
            self._put, self.lease = None, number

    def _publications(self) -> Iterator[tuple[tuple[int, int], StoredObject]]:
        """Yield the publications, newest first, with the numbers of lease and publication."""
        for number in reversed([name for name in self.store.folders("detector") if _NUMBER.fullmatch(name)]):
            lists = [
                ((int(named[1]), int(named[2])), listed)
                for listed in self.store.objects(f"detector/{number}", recursive=False)
                if (named := _LIST.fullmatch(listed.name))
            ]
            yield from sorted(lists, key=lambda entry: entry[0], reverse=True)

    def _take(self, base: tuple[int, int], listed: StoredObject) -> None:
        files = _files(self.store.read(listed.name, ENDING), listed.name)
        for name in sorted(files, key=lambda name: (name == STATE, name)):
            full, size = files[name]
            sign = _sign(self.root / name)
            known = self._known.get(name)
            if sign is None or known != (sign, full, size):
                self.store.take(full, self.root / name)
                sign = _sign(self.root / name)
                assert sign is not None
            self._known[name] = (sign, full, size)
        for name in self._here():
            if name not in files:
                (self.root / name).unlink(missing_ok=True)
        self._keep_base(base)

    def publish(self, number: int | None) -> None:
        """Upload what the detector here wrote, if the store does not have it yet."""
        if number is None or number != self.lease:
            return
        here = self._here()
        if not here or here == self._put:
            return
        files: Files = {}
        try:
            for name in sorted(here, key=lambda name: (name == STATE, name)):
                known = self._known.get(name)
                if known is None or known[0] != here[name] or f"/{number:016d}/" not in known[1]:
                    new = self.store.put_file(f"detector/{number:016d}/files/{name}", self.root / name)
                    known = self._known[name] = (here[name], new.name, new.bytes)
                files[name] = known[1:]
        except FileNotFoundError:
            return  # the detector is writing: next time
        now = self._here()
        if now.get(STATE) != here.get(STATE) or held_number(self.folder.run) != number:
            return
        base = (number, self._base[1] + 1 if self._base[0] == number else 1)
        text = json.dumps({"files": files}, sort_keys=True).encode()
        self.store.put_bytes(f"detector/{base[0]:016d}/{base[1]:010d}", text, ENDING)
        self._keep_base(base)
        self._put = here
        self._clear(base, files)

    def _keep_base(self, base: tuple[int, int]) -> None:
        self._base = base
        write_notes(self.folder, self.store, findings=list(base))

    def _clear(self, base: tuple[int, int], files: Files) -> None:
        """Delete files that no later publication lists. The last but one stays: it may be in use."""
        number, at = base
        needed = {full for full, _ in files.values()}
        there = list(self.store.objects(f"detector/{number:016d}"))
        for stored in there:
            if (named := _LIST.fullmatch(stored.name)) and int(named[2]) == at - 1:
                with suppress(DamagedObject, ObjectGone):
                    needed |= {
                        full for full, _ in _files(self.store.read(stored.name, ENDING), stored.name).values()
                    }
        for stored in there:
            named = _LIST.fullmatch(stored.name)
            if int(named[2]) < at - 1 if named else stored.name not in needed:
                self.store.delete(stored.name)
        if at > 1:  # all gateways have had time to see this lease's first; a late one may upload more there
            for older in self.store.folders("detector"):
                if _NUMBER.fullmatch(older) and int(older) < number:
                    self.store.delete_below(f"detector/{older}")

    def _here(self) -> dict[str, Sign]:
        """Return the files here, by name, without unfinished ones."""
        signs: dict[str, Sign] = {}
        for at, _, names in os.walk(self.root):
            for file in names:
                name = str((Path(at) / file).relative_to(self.root))
                if _FILE.fullmatch(name) and (sign := _sign(Path(at) / file)) is not None:
                    signs[name] = sign
        return signs


def _sign(path: Path) -> Sign | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _files(text: bytes, name: str) -> Files:
    """Read a publication's list. Raises: DamagedObject."""
    try:
        listed = json.loads(text)["files"]
        files = {str(path): (str(entry[0]), int(entry[1])) for path, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as why:
        raise DamagedObject(f"{name}: no list of findings") from why
    number = name.split("/")[1]
    for path, (full, _) in files.items():
        if not _FILE.fullmatch(path) or not full.startswith(f"detector/{number}/files/{path}."):
            raise DamagedObject(f"{name}: names {path!a}, which is no file of findings")
    return files
