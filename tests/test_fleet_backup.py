"""A fleet in one archive and back: state, owners and cases are equal, and no revoked key is restored."""

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from cases_world import NOW_US, campaign, names, result
from cases_world import everything as every_case
from fleet_world import COMMAND, FleetServed, fleet, folder, query, url_of
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.fleet.backup import SECRETS, BackupError, FleetRestore, back_up, restore
from stillwatch.gateway.fleet.database import SCHEMA
from stillwatch.gateway.fleet.membership import join
from stillwatch.gateway.fleet.objects import ObjectExchange
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms.load import default_text
from test_fleet import block, everything
from upstream import Upstream

pytestmark = pytest.mark.slow
NOW = 1_800_000_000_000_000


@dataclasses.dataclass
class Member:
    """A stopped gateway of a fleet; its state is opened for each check."""

    folder: Folder
    url: str

    def state(self) -> ControlState:
        found = ControlState(self.folder.state, self.folder.secret())
        join(found, self.url)
        return found

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        with self.state() as state:
            return everything(state)

    def owners_exchanged(self) -> dict[str, str]:
        part = ObjectExchange(self.folder, self.url, print)
        with (
            psycopg.connect(self.url, autocommit=True, options=f"-c search_path={SCHEMA}") as db,
            Owners(self.folder.objects) as owners,
        ):
            part.step(db)
            return dict(owners.owners(["file-1", "file-2"]))

    def cases(self) -> dict[str, list[tuple[object, ...]]]:
        with Store(self.url) as store:
            return every_case(store)


@pytest.fixture
def first(tmp_path: Path, url: str) -> Member:
    """A fleet of one gateway, with one of each kind of record."""
    found = Member(folder(tmp_path / "a"), url)
    found.folder.terms.write_text(default_text(), encoding="utf-8")
    settings = GatewaySettings(
        "http://127.0.0.1:9", state=url, shared=str(tmp_path / "shared"), gateway="gw-a"
    )
    settings.save(found.folder.settings)
    with found.state() as state:
        for k in range(3):
            state.issue(f"acct_{k}", "org", now_us=NOW)
        block(state, "acct_1")
    with Owners(found.folder.objects) as owners:
        owners.add("acct_0", [("file-1", "files")], NOW, expected_new=True)
    found.owners_exchanged()
    with Store(url) as store:
        attach(store, found.folder.path / "audit.key")
        fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "march")
    return found


def archive_of(one: Member, name: str = "fleet.tar", keys: bool = True) -> Path:
    path = one.folder.path.parent / name
    with one.state() as state:
        about = back_up(one.folder, state, path, NOW, keys=keys)
        assert about.revision == state.revision()
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def revoke(one: Member, account: str) -> None:
    with one.state() as state:
        listed = state.keys()
        state.revoke(next(key.key_id for key in listed if key.account == account), now_us=NOW)


def is_revoked(one: Member, account: str) -> bool:
    one.state().close()
    return next(k.disabled for k in load_tables(one.folder.state).keys.values() if k.account == account)


def brought_back(archive: Path, place: Path, url: str, **more: bool) -> tuple[Member, FleetRestore]:
    done = restore(archive, place, url, "tester", NOW + 1, **more)
    return Member(Folder(place), url), done


def but_for_the_restore(told: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    """Without the record of the restore, and the generation, revision and mark that it started."""
    kept = told | {
        "meta": [row for row in told["meta"] if row[0] not in ("generation", "revision", "history")]
    }
    return kept | {"events": [row for row in told["events"] if row[3] != "fleet restored"]}


def test_all_is_equal_after_it_with_empty_folders(first: Member, tmp_path: Path, server: str) -> None:
    archive, before, cases = archive_of(first), first.rows(), first.cases()
    made = [
        brought_back(archive, tmp_path / name, url) for url in [url_of(server)] for name in ("new-a", "new-b")
    ]
    assert [done.database for _, done in made] == [True, False]  # once, by the first gateway
    for one, done in made:
        assert {"secret", "audit.key", "terms.toml", "serve.json"} <= set(done.files)
        assert but_for_the_restore(one.rows()) == but_for_the_restore(before)
        assert [row[3] for row in one.rows()["events"]].count("fleet restored") == 1
        assert one.owners_exchanged() == {"file-1": "acct_0"}
        assert one.cases() == cases
        settings = GatewaySettings.load(one.folder.settings)
        assert (settings.state, settings.gateway) == (one.url, None)
        assert one.folder.secret() == first.folder.secret()
    with made[1][0].state() as state:  # the fleet works: one gateway's change reaches the other
        block(state, "acct_2")
    assert made[0][0].rows()["standings"] == made[1][0].rows()["standings"]


def test_what_a_living_folder_knows_later_is_kept(first: Member, tmp_path: Path, server: str) -> None:
    archive = archive_of(first)
    revoke(first, "acct_0")
    with Owners(first.folder.objects) as owners:
        owners.add("acct_2", [("file-2", "files")], NOW, expected_new=True)
    knew = first.rows()
    with pytest.raises(BackupError, match="--force"):
        restore(archive, first.folder.path, url_of(server), "tester", NOW)
    first.url = url_of(server)
    done = restore(archive, first.folder.path, first.url, "tester", NOW, force=True)
    assert done.folder_knew is not None
    assert but_for_the_restore(first.rows()) == but_for_the_restore(knew)
    assert is_revoked(first, "acct_0")
    assert first.owners_exchanged() == {"file-1": "acct_0", "file-2": "acct_2"}
    other, done = brought_back(archive, tmp_path / "b", first.url)
    assert not done.database
    assert is_revoked(other, "acct_0")
    revoke(first, "acct_2")  # again with the same archive, on the result
    first.url = url_of(server)
    restore(archive, first.folder.path, first.url, "tester", NOW, force=True)
    assert is_revoked(first, "acct_0")
    assert is_revoked(first, "acct_2")


def test_a_folder_that_knows_later_takes_nothing_from_one_restored_without_it(
    first: Member, tmp_path: Path, server: str
) -> None:
    archive = archive_of(first)
    revoke(first, "acct_0")
    other, _ = brought_back(archive, tmp_path / "b", url_of(server))
    first.url = other.url
    with other.state() as state:  # more changes than the first one knows of
        for k in range(5):
            block(state, f"acct_{k}")
    with pytest.raises(Exception, match="keys or enforcement statuses of its own"):
        first.state()
    assert next(k for k in load_tables(first.folder.state).keys.values() if k.account == "acct_0").disabled
    with pytest.raises(BackupError, match="restored without it"):
        restore(archive, first.folder.path, other.url, "tester", NOW, force=True)


def test_what_is_used_or_not_empty_is_refused(first: Member, tmp_path: Path, server: str) -> None:
    archive, before = archive_of(first), first.rows()
    with pytest.raises(BackupError, match="give an empty database"):
        restore(archive, tmp_path / "b", first.url, "tester", NOW)
    query(first.url, "INSERT INTO gateways VALUES ('gw-z', 'l', 'h', 1, '', clock_timestamp())")
    with pytest.raises(BackupError, match="gw-z"):
        restore(archive, tmp_path / "b", first.url, "tester", NOW, force=True)
    query(first.url, "DELETE FROM gateways")
    assert first.rows() == before
    stranger = folder(tmp_path / "stranger")
    with pytest.raises(BackupError, match="is not the secret of the fleet"):
        restore(archive, stranger.path, url_of(server), "tester", NOW)
    with pytest.raises(BackupError, match="is there already"):
        archive_of(first)
    other, done = brought_back(archive, tmp_path / "b", first.url, force=True)  # over the database
    assert done.database
    assert but_for_the_restore(other.rows()) == but_for_the_restore(before)


def test_an_archive_without_secrets_has_none(first: Member, tmp_path: Path, server: str) -> None:
    archive = archive_of(first, keys=False)
    with tarfile.open(archive) as tar:
        assert not {*SECRETS} & set(tar.getnames())
    assert first.folder.secret() not in archive.read_bytes()
    with pytest.raises(BackupError, match="without the fleet's secret"):
        restore(archive, tmp_path / "b", url_of(server), "tester", NOW)
    (tmp_path / "b").mkdir(mode=0o700, exist_ok=True)
    shutil.copy2(first.folder.secret_file, tmp_path / "b")
    other, _ = brought_back(archive, tmp_path / "b", url_of(server))
    assert but_for_the_restore(other.rows()) == but_for_the_restore(first.rows())


@pytest.mark.parametrize("harm", ["bytes", "cut", "name", "link", "newer", "nothing"])
def test_a_bad_archive_changes_nothing(first: Member, tmp_path: Path, server: str, harm: str) -> None:
    archive, url = archive_of(first), url_of(server)
    raw = bytearray(archive.read_bytes())
    if harm == "bytes":
        raw[raw.index(b"PGDMP") + 200] ^= 1
        archive.write_bytes(raw)
    elif harm == "cut":
        archive.write_bytes(raw[: len(raw) // 2])
    elif harm == "nothing":
        archive.write_bytes(b"")
    elif harm == "newer":
        archive.write_bytes(raw.replace(b'"form": 1,', b'"form": 9,'))
    else:
        with tarfile.open(archive, "a") as tar:
            info = tarfile.TarInfo("../evil" if harm == "name" else "terms.toml")
            if harm == "link":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(BackupError):
        restore(archive, tmp_path / "b", url, "tester", NOW)
    assert not (tmp_path / "b").exists()
    assert query(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stillwatch_gateway'") == [(0,)]


def test_the_commands_and_no_password_in_a_url(first: Member, tmp_path: Path, server: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore"):
        real = shutil.which(name)
        (programs / name).write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\nexec {real} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, "fleet", *words], capture_output=True, text=True, timeout=120, env=environment
        )

    archive, place = str(tmp_path / "f.tar"), str(tmp_path / "b")
    done = run("backup", archive, "--folder", str(first.folder.path), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"secret", "audit.key", "stillwatch.dump"} <= set(told["files"])
    url = url_of(server)
    with_password = url.replace("stillwatch@", "stillwatch:pass-word@")
    assert "PGPASSWORD" in run("restore", archive, "--folder", place, "--state", with_password).stderr
    done = run("restore", archive, "--folder", place, "--state", url)
    assert done.returncode == 0, done.stderr
    assert "is restored" in done.stdout
    assert "had been restored" in run("restore", archive, "--folder", place, "--state", url).stdout
    assert "--no-password" in (tmp_path / "words").read_text()
    assert "pg_dump is not here" in _without_programs(first, archive).stderr
    with closing(sqlite3.connect(first.folder.state)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_fleet_that_was_backed_up_while_it_served_serves_again(tmp_path: Path, server: str) -> None:
    archive, url = tmp_path / "fleet.tar", url_of(server)
    with Upstream() as up:
        with fleet(tmp_path, up.url, url_of(server), "a", "b") as (a, b):
            honest, banned, ended = (a.issue(f"acct_{k}") for k in range(3))
            assert b.run("standing", "set", "acct_1", "--step", "block", "--why", "test").returncode == 0
            listed = b.run("key", "list").stdout.splitlines()
            key_id = next(line.split()[0] for line in listed if "acct_2" in line)
            assert a.run("key", "revoke", key_id).returncode == 0
            assert a.run("fleet", "backup", str(archive)).returncode == 0
            done = a.run("fleet", "restore", str(archive), "--force")
            assert done.returncode == 2
            assert "is served" in done.stderr
        (tmp_path / "c").mkdir()
        restore(archive, tmp_path / "c" / "serve", url, "tester", NOW)
        c = FleetServed(tmp_path / "c", up.url, url, "c")
        try:
            c.start()
            assert [c.status(key) for key in (honest, banned, ended)] == [200, 403, 401]
            assert c.run("standing", "set", "acct_0", "--step", "block", "--why", "test").returncode == 0
            assert c.status(honest) == 403
        finally:
            c.stop()


def _without_programs(first: Member, archive: str) -> "subprocess.CompletedProcess[str]":
    words = [*COMMAND, "fleet", "backup", f"{archive}.2", "--folder", str(first.folder.path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": ""})
