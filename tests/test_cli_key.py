"""`stillwatch key`, `standing` and `serve --check`, as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway_world import free_port
from stillwatch.cli.main import app
from stillwatch.gateway.control import actions, keys, proposals
from stillwatch.gateway.control.ladder import Proposal, ProposalChanges, WantedStep
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.instance import sole_instance
from stillwatch.terms import Step
from stillwatch.units import utc_us


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "serve")


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Return two unused ports."""
    return free_port(), free_port()


def typed(folder: Folder, *words: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, [*words, "--folder", str(folder.path)], input=stdin)
    assert result.exit_code == code, result.output
    return result


def answer(folder: Folder, *words: str) -> object:
    return json.loads(typed(folder, *words, "--json").stdout)


def _proposed(folder: Folder, *accounts: str) -> int:
    want = WantedStep("sw-1", Step.BLOCK, "ladder.rule 2", "a pool of accounts", accounts, None)
    with ControlState(folder.state) as state:
        proposals.write_down(state, ProposalChanges((Proposal(0, 1, want),), (), ()), now_us=utc_us())
        return proposals.proposals(state)[0].proposal


# --- objects ---


@pytest.mark.slow
def test_an_object_is_assigned_and_says_whose_it_is(folder: Folder) -> None:
    typed(folder, "key", "issue", "acme")
    assert "no owner" in str(typed(folder, "object", "show", "file-1", code=2).output)
    typed(folder, "object", "assign", "file-1", "acme", "--dry-run")
    typed(folder, "object", "show", "file-1", code=2)
    typed(folder, "object", "assign", "file-1", "nobody", code=2)
    typed(folder, "object", "assign", "file-1", code=2)
    typed(folder, "object", "assign", "file 1", "acme", code=2)
    assert "is now of acme" in typed(folder, "object", "assign", "file-1", "acme").stdout
    shared = answer(folder, "object", "assign", "vs_1", "--everybody")
    assert shared == {"name": "vs_1", "account": None, "everybody": True, "had": None}
    listed = answer(folder, "object", "list")
    assert [(one["name"], one["account"]) for one in listed] == [("file-1", "acme"), ("vs_1", None)]  # type: ignore[attr-defined]
    assert "everybody" in typed(folder, "object", "list").stdout
    with ControlState(folder.state) as state:
        assert [event.subject for event in state.events() if event.what == "object assigned"] == [
            "vs_1",
            "file-1",
        ]


# --- keys ---


def test_a_key_is_issued_listed_rotated_and_revoked(folder: Folder) -> None:
    issued = answer(folder, "key", "issue", "acme", "--org", "Acme Inc", "--expires-in", "90d")
    assert isinstance(issued, dict)
    key_id, _ = keys.parse(issued["key"]) or ("", "")
    assert (issued["account"], issued["org"], issued["key_id"]) == ("acme", "Acme Inc", key_id)
    listed = typed(folder, "key", "list").stdout
    assert key_id in listed
    assert issued["key"] not in listed
    rotated = answer(folder, "key", "rotate", key_id, "--overlap", "2h")
    assert isinstance(rotated, dict)
    assert rotated["replaces"] == key_id
    told = typed(folder, "key", "revoke", rotated["key"])  # a whole key, pasted: only its id is used
    assert told.stdout == f"{rotated['key_id']} of account acme (Acme Inc) is revoked\n"
    both = load_tables(folder.state).keys
    assert (both[rotated["key_id"]].disabled, both[key_id].disabled) == (True, False)


def test_only_the_key_goes_to_standard_output(folder: Folder) -> None:
    result = typed(folder, "key", "issue", "acme")
    assert keys.parse(result.stdout.strip()) is not None
    assert "shown this once" in result.stderr


def test_a_dry_run_changes_nothing(folder: Folder) -> None:
    typed(folder, "key", "issue", "acme")
    key_id = load_tables(folder.state).keys.copy().popitem()[0]
    before = load_tables(folder.state)
    for words in (
        ("key", "issue", "beta"),
        ("key", "revoke", key_id),
        ("key", "rotate", key_id),
        ("standing", "set", "acme", "--step", "block"),
    ):
        typed(folder, *words, "--dry-run")
    assert load_tables(folder.state) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("key", "issue", "acme", "--expires-in", "soon"),
            "--expires-in is 'soon'; give a number with s, m, h",
        ),
        (("key", "issue", "a\x1b[2J"), r"account 'a\x1b[2J': no control characters"),
        (("key", "revoke", "nokey"), "KEY_ID must be the 8 characters after sk-sw-"),
        (("key", "revoke", "abcd1234"), "there is no key 'abcd1234'; `stillwatch key list`"),
        (
            ("standing", "set", "acme", "--step", "ban", "--why", "x"),
            "--step is 'ban'; give one of clear, watch",
        ),
        (("standing", "set", "acme", "--step", "block"), "--why is missing"),
        (("standing", "set", "--step", "block", "--why", "x"), "no account was given"),
        (("standing", "undo", "4", "--why", "x"), "there is no action 4"),
        (("standing", "approve", "4"), "there is no proposal 4"),
    ],
)
def test_a_refusal_says_what_would_be_right(folder: Folder, words: tuple[str, ...], told: str) -> None:
    result = typed(folder, *words, code=2)
    assert told in result.stderr
    assert "\x1b" not in result.stderr


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    result = typed(Folder(tmp_path), "key", "list", code=2)
    assert "is no gateway's folder; `stillwatch serve` makes one" in result.stderr


def test_a_new_admin_token_replaces_the_old_one(folder: Folder) -> None:
    old, new = (typed(folder, "key", "admin").stdout.strip() for _ in range(2))
    with ControlState(folder.state) as state:
        assert (state.is_admin(old), state.is_admin(new)) == (False, True)


# --- standings ---


def test_a_standing_is_set_shown_and_taken_back(folder: Folder) -> None:
    typed(folder, "key", "issue", "acme", "--org", "Acme Inc")
    typed(folder, "key", "issue", "acme-test", "--org", "Acme Inc")
    told = typed(folder, "standing", "set", "acme", "--step", "throttle", "--why", "ran away", "--for", "6h")
    assert told.stdout.splitlines() == [
        "throttle is set for 1 account: acme",
        "  with 1 key and 0 end users of the last 7 days",
        "  not touched: 1 account of the same organisations",
        "",
        "not touched  organisation  use      exchanges  tokens  end users  stands  campaign  shares",
        "acme-test    Acme Inc      unknown  0          0       0          clear             organisation",
        "`stillwatch standing undo 1` takes it back",
    ]
    assert "ran away" in typed(folder, "standing", "show").stdout
    assert load_tables(folder.state).standings["acme"].step is Step.THROTTLE
    typed(folder, "standing", "undo", "1", "--why", "a mistake")
    assert typed(folder, "standing", "show", "acme").stdout == "acme is clear\n"
    assert [c["undone"] for c in answer(folder, "standing", "log")] == [True]  # type: ignore[index, attr-defined]


def test_accounts_may_come_from_standard_input(folder: Folder) -> None:
    words = ("standing", "set", "--accounts-file", "-", "--step", "block", "--why", "case 12", "--json")
    told = json.loads(typed(folder, *words, stdin="a\n\nb\n a \n").stdout)
    assert told["reach"]["accounts"] == ["a", "b"]
    assert set(load_tables(folder.state).standings) == {"a", "b"}


def test_a_dry_run_of_an_undo_names_whom_it_touches(folder: Folder) -> None:
    typed(folder, "standing", "set", "acme", "beta", "--step", "watch", "--why", "x")
    told = typed(folder, "standing", "undo", "1", "--dry-run").stdout
    assert told == "it would take back action 1, of 2 accounts: acme, beta\n"


def test_a_proposal_is_approved_or_dismissed(folder: Folder) -> None:
    first, second = _proposed(folder, "a", "b"), _proposed(folder, "c")
    listed = typed(folder, "standing", "proposals").stdout
    assert listed.count("waits for a person") == 2
    assert (
        "block would be set for 2 accounts: a, b"
        in typed(folder, "standing", "approve", str(first), "--dry-run").stdout
    )
    typed(folder, "standing", "approve", str(first), "--for", "7d")
    typed(folder, "standing", "dismiss", str(second), "--why", "their own evaluation")
    assert set(load_tables(folder.state).standings) == {"a", "b"}
    assert typed(folder, "standing", "proposals").stdout == "nothing is proposed\n"
    states = [one["state"] for one in answer(folder, "standing", "proposals", "--all")]  # type: ignore[attr-defined]
    assert states == ["dismissed", "applied"]


def test_the_log_says_who(folder: Folder) -> None:
    typed(folder, "standing", "set", "acme", "--step", "watch", "--why", "x")
    with ControlState(folder.state) as state:
        assert actions.history(state)[0].who == answer(folder, "standing", "log")[0]["who"]  # type: ignore[index]


# --- serve ---


def test_a_check_starts_nothing_and_says_what_is_wrong(folder: Folder, free_ports: tuple[int, int]) -> None:
    port, admin_port = free_ports
    words = ("serve", "--check", "--upstream", "http://127.0.0.1:9")
    words += ("--port", str(port), "--admin-port", str(admin_port))
    told = answer(folder, *words)
    verdicts = {one["what"]: one["verdict"] for one in told}  # type: ignore[attr-defined]
    assert verdicts["upstream"] == "warning"  # it may start later
    assert {verdicts[what] for what in ("folder", "terms", "state", "port", "admin_port")} == {"ok"}
    assert not (folder.run / "supervisor.json").exists()
    with sole_instance(folder):
        result = typed(folder, *words, code=2)
    assert "is served already, by process" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "was not served before; say where the model is with --upstream URL"),
        (("--upstream", "ftp://x"), "upstream 'ftp://x': give http://host[:port][/prefix]"),
        (("--upstream", "http://me:secret@x"), "upstream: holds a user name or password"),
        (("--upstream", "http://x", "--workers", "0"), "workers is 0; give 1 to 64"),
        (("--upstream", "http://x", "--port", "8081"), "port and admin_port are both 8081"),
    ],
)
def test_what_cannot_be_served_is_refused(folder: Folder, words: tuple[str, ...], told: str) -> None:
    result = typed(folder, "serve", "--check", *words, code=2)
    assert told in result.stderr
    assert "secret" not in result.stderr


def test_a_refused_start_leaves_no_folder(tmp_path: Path) -> None:
    typed(Folder(tmp_path / "new"), "serve", "--port", "99999", "--upstream", "http://x", code=2)
    assert not (tmp_path / "new").exists()


def test_terms_with_a_fault_are_refused_with_every_line(folder: Folder, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("version = 1\n[capture]\non_failure = 3\n", encoding="utf-8")
    looked = typed(folder, "serve", "--check", "--upstream", "http://x", "--terms", str(bad), code=2)
    assert "bad.toml:3" in looked.stdout
    begun = typed(folder, "serve", "--upstream", "http://x", "--terms", str(bad), code=2)
    assert "bad.toml:3" in begun.stderr
    assert not folder.terms.exists()


@pytest.mark.parametrize(
    "words", [("serve",), ("key",), ("key", "issue"), ("standing",), ("standing", "set")]
)
def test_help_shows_what_can_be_said(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "stillwatch " + words[0] in result.output
