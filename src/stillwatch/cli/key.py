"""`stillwatch key`: client keys of a gateway's folder: issue, list, rotate, revoke."""

import json
import re
from typing import Annotated, Any

import typer

from stillwatch.cli.folder import (
    FOLDER,
    PAGE,
    AsJson,
    AtFolder,
    DryRun,
    changing,
    end_us,
    iso_time,
    open_state,
    record_as_json,
    span_s,
    table,
    whoami,
)
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.gateway.control import keys as forms
from stillwatch.gateway.control.state import ClientKey, ControlState
from stillwatch.units import utc_us

app = group("Client keys of a gateway.")


@verb(app, "issue")
def issue_command(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Whose key it is.")],
    org: Annotated[str | None, typer.Option(help="The account's organisation.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Expires after this time: 90d, 12h, 30m.")] = None,
    folder: AtFolder = FOLDER,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Issue a key to an account, which is created if needed. The key is printed once and not stored.

    $ stillwatch key issue acme --org "Acme Inc." --expires-in 90d
    $ KEY=$(stillwatch key issue acme --json | jq -r .key)
    """
    now_us = utc_us()
    expires_us = end_us(expires_in, "--expires-in", now_us)
    with changing(folder) as state:
        if dry_run:
            _print_outcome(
                {"account": account, "org": org, "expires": iso_time(expires_us)}, as_json, "would be issued"
            )
            return
        key = state.issue(account, org, expires_us, now_us=now_us, who=whoami())
        _show_issued(state, key, as_json)


@verb(app, "list")
def list_command(
    account: Annotated[str | None, typer.Option(help="Only keys of this account.")] = None,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """List the issued keys, but not their secrets, which are not stored.

    $ stillwatch key list
    $ stillwatch key list --account acme --json | jq -r '.[].key_id'
    """
    keys: list[ClientKey] = []
    with open_state(folder) as state:
        while len(page := state.keys(account, keys[-1].key_id if keys else "", PAGE)) == PAGE:
            keys += page
        keys += page
    if as_json:
        print_json([record_as_json(key) for key in keys])
        return
    rows = [(k.key_id, k.account, k.org, iso_time(k.issued_us), _end(k, utc_us())) for k in keys]
    table(("key", "account", "organisation", "issued", "state"), rows, "no key was issued yet")


@verb(app, "revoke")
def revoke_command(
    key: Annotated[
        str, typer.Argument(metavar="KEY_ID", help="The key's id: the 8 characters after sk-sw-.")
    ],
    folder: AtFolder = FOLDER,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a key now: within a second no worker accepts it.

    $ stillwatch key revoke k3v9x2ab
    """
    key_id = _id_of(key)
    with changing(folder) as state:
        if not dry_run:
            state.revoke(key_id, now_us=utc_us(), who=whoami())
        _print_outcome(
            record_as_json(state.key(key_id)), as_json, "would be revoked" if dry_run else "is revoked"
        )


@verb(app, "rotate")
def rotate_command(
    key: Annotated[str, typer.Argument(metavar="KEY_ID", help="The key to replace.")],
    overlap: Annotated[str, typer.Option(help="How long the old one still works.")] = "24h",
    expires_in: Annotated[str | None, typer.Option(help="The new one expires after this time.")] = None,
    folder: AtFolder = FOLDER,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Issue a replacement for a key. The old one ends when the overlap is over.

    $ stillwatch key rotate k3v9x2ab --overlap 24h
    """
    now_us, key_id = utc_us(), _id_of(key)
    overlap_us = 1_000_000 * span_s(overlap, "--overlap")
    expires_us = end_us(expires_in, "--expires-in", now_us)
    with changing(folder) as state:
        if dry_run:
            _print_outcome(
                record_as_json(state.key(key_id)) | {"ends": iso_time(now_us + overlap_us)},
                as_json,
                "would be replaced",
            )
            return
        new = state.rotate(key_id, overlap_us, now_us=now_us, who=whoami(), expires_us=expires_us)
        _show_issued(state, new, as_json)


@verb(app, "admin")
def admin_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """Create a new token for the admin port; the old one stops working at once.

    $ stillwatch key admin
    """
    with open_state(folder) as state:
        token = state.admin_token(now_us=utc_us(), renew=True, who=whoami())
    print(json.dumps({"token": token}, indent=1) if as_json else token)


@verb(app, "metrics")
def metrics_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """Create a new token that can only read /metrics; the old one stops working at once.

    $ stillwatch key metrics > /etc/prometheus/stillwatch.token
    """
    with open_state(folder) as state:
        token = state.metrics_token(now_us=utc_us(), who=whoami())
    print(json.dumps({"token": token}, indent=1) if as_json else token)


def _show_issued(state: ControlState, key: str, as_json: bool) -> None:
    parsed = forms.parse(key)
    assert parsed is not None
    issued_key = state.key(parsed[0])
    if as_json:
        print_json({"key": key, **record_as_json(issued_key)})
        return
    print(key)
    print(
        f"of account {one_line(issued_key.account)}; it is shown this once",
        file=typer.get_text_stream("stderr"),
    )


def _id_of(text: str) -> str:
    """Return the id of a key from an id or a whole key."""
    parsed = forms.parse(text.strip())
    if parsed is not None:
        return parsed[0]
    key_id = text.strip().removeprefix(forms.PREFIX)
    if not re.fullmatch(r"[a-z0-9]{8}", key_id):
        raise InputError("KEY_ID must be the 8 characters after sk-sw-; `stillwatch key list` shows them")
    return key_id


def _end(key: ClientKey, now_us: int) -> str:
    if key.revoked_us is not None:
        return f"revoked {iso_time(key.revoked_us)}"
    if key.expires_us is not None:
        return f"{'ended' if key.expires_us <= now_us else 'ends'} {iso_time(key.expires_us)}"
    return "works"


def _print_outcome(document: dict[str, Any], as_json: bool, sentence: str) -> None:
    if as_json:
        print_json(document)
        return
    name = document.get("key_id") or "a key"
    of = one_line(str(document["account"])) + (
        f" ({one_line(str(document['org']))})" if document.get("org") else ""
    )
    print(f"{name} of account {of} {sentence}")
