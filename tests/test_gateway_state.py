"""`state.db`: keys, standings that can be undone, and what a worker sees when the file is damaged."""

import hmac
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.gateway import Tables
from stillwatch.gateway.control import actions, keys, migrations, proposals
from stillwatch.gateway.control.enforce import Enforcer
from stillwatch.gateway.control.ladder import Proposal, ProposalChanges, WantedStep
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState, Missing, Stale
from stillwatch.gateway.control.tables import TableFollower, load_tables
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.instance import open_terms
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text

HOUR = 3_600_000_000
NOW = 1_795_600_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "serve")


@pytest.fixture
def state(folder: Folder) -> Iterator[ControlState]:
    with ControlState(folder.state) as opened:
        yield opened


def throttle(**more: object) -> EnforcementStatus:
    return EnforcementStatus(Step.THROTTLE, NOW, "takes too much", **more)  # type: ignore[arg-type]


def act(
    state: ControlState, *accounts: str, now_us: int = NOW, stands: EnforcementStatus | None = None
) -> int:
    changes = [(account, stands or throttle()) for account in accounts]
    return actions.act(state, changes, who="ann", why="test", now_us=now_us)


# --- keys ---


def test_a_key_is_given_once_and_found_by_its_digest(folder: Folder, state: ControlState) -> None:
    key = state.issue("acme", "Acme Inc", now_us=NOW)
    split = keys.parse(key)
    assert split is not None
    entry = load_tables(folder.state).keys[split[0]]
    assert hmac.compare_digest(entry.digest, keys.digest(split[1], folder.secret()))
    assert (entry.account, entry.number, entry.org, entry.disabled) == ("acme", 0, "Acme Inc", False)


def test_accounts_are_numbered_densely_and_keep_their_number(folder: Folder, state: ControlState) -> None:
    for account in ("a", "b", "a", "c", "b"):
        state.issue(account, now_us=NOW)
    numbers = {entry.account: entry.number for entry in load_tables(folder.state).keys.values()}
    assert numbers == {"a": 0, "b": 1, "c": 2}


def test_a_revoked_key_is_disabled_and_may_be_revoked_again(folder: Folder, state: ControlState) -> None:
    key_id = keys.parse(state.issue("acme", now_us=NOW))[0]  # type: ignore[index]
    state.revoke(key_id, now_us=NOW + 1)
    state.revoke(key_id, now_us=NOW + 2)
    assert state.key(key_id).revoked_us == NOW + 1
    assert load_tables(folder.state).keys[key_id].disabled


def test_rotation_leaves_the_old_key_its_overlap(folder: Folder, state: ControlState) -> None:
    old = keys.parse(state.issue("acme", "Acme Inc", now_us=NOW))[0]  # type: ignore[index]
    new = keys.parse(state.rotate(old, HOUR, now_us=NOW))[0]  # type: ignore[index]
    both = load_tables(folder.state).keys
    assert (both[old].expires_us, both[new].expires_us) == (NOW + HOUR, None)
    assert (both[new].account, both[new].org) == ("acme", "Acme Inc")
    assert state.key(new).replaces == old
    with pytest.raises(StateError, match="has ended already"):
        state.rotate(old, HOUR, now_us=NOW + HOUR)


def test_an_organisation_is_added_to_an_account_but_never_changed(
    folder: Folder, state: ControlState
) -> None:
    key_id = keys.parse(state.issue("acme", now_us=NOW))[0]  # type: ignore[index]
    follower = TableFollower(folder.state)
    follower.poll()
    state.issue("acme", "Acme Inc", now_us=NOW)
    tables = follower.poll()
    assert tables is not None
    assert tables.keys[key_id].org == "Acme Inc"
    with pytest.raises(StateError, match="belongs to Acme Inc, not to Other"):
        state.issue("acme", "Other", now_us=NOW)
    follower.close()


@pytest.mark.parametrize("name", ["", "a" * 201, "a\nb", " a", "a\x1b[2J", "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_refused(state: ControlState, name: str) -> None:
    with pytest.raises(StateError, match="account"):
        state.issue(name, now_us=NOW)


def test_a_key_that_is_over_before_it_begins_is_refused(state: ControlState) -> None:
    with pytest.raises(StateError, match="expired before it was issued"):
        state.issue("acme", expires_us=NOW, now_us=NOW)


def test_what_is_not_there_is_said(state: ControlState) -> None:
    with pytest.raises(Missing, match=r"no key 'abcd1234'; `stillwatch key list`"):
        state.revoke("abcd1234", now_us=NOW)
    with pytest.raises(Missing, match="no action 7"):
        actions.undo(state, 7, who="ann", why="x", now_us=NOW)


def test_no_key_and_no_token_is_on_the_disk_in_any_file(folder: Folder) -> None:
    with ControlState(folder.state) as state:
        issued = [state.issue(f"account-{k}", now_us=NOW) for k in range(50)]
        issued += [state.rotate(keys.parse(key)[0], HOUR, now_us=NOW) for key in issued]  # type: ignore[index]
        token = state.admin_token(now_us=NOW)
        assert token is not None
        secret_parts = [key.rsplit("-", 1)[1] for key in [*issued, token]]
        written = [path.read_bytes() for path in folder.path.rglob("*") if path.is_file()]  # with the WAL
    written += [path.read_bytes() for path in folder.path.rglob("*") if path.is_file()]  # checkpointed
    assert len(written) >= 3
    assert not [part for part in secret_parts for content in written if part.encode() in content]


def test_only_the_owner_may_read_the_file(folder: Folder, state: ControlState) -> None:
    state.issue("acme", now_us=NOW)
    assert {p.name: p.stat().st_mode & 0o777 for p in folder.path.glob("state.db*")} == {
        "state.db": 0o600,
        "state.db-wal": 0o600,
        "state.db-shm": 0o600,
    }


@given(st.text())
def test_parse_takes_nothing_but_keys(text: str) -> None:
    found = keys.parse(text)
    assert found is None or text == f"sk-sw-{found[0]}-{found[1]}"


def test_the_admin_token_is_made_once_and_renewed_on_demand(state: ControlState) -> None:
    token = state.admin_token(now_us=NOW)
    assert token is not None
    assert state.admin_token(now_us=NOW) is None
    assert state.is_admin(token)
    assert not state.is_admin(token[:-1])
    new = state.admin_token(now_us=NOW, renew=True)
    assert new is not None
    assert (state.is_admin(new), state.is_admin(token)) == (True, False)


# --- standings ---


def test_an_undo_brings_back_what_lay_below(state: ControlState) -> None:
    first = act(state, "a", "b")
    blocked = EnforcementStatus(Step.BLOCK, NOW + 1, "again", "sw-1")
    second = act(state, "a", stands=blocked, now_us=NOW + 1)
    assert actions.standings(state) == {"a": blocked, "b": throttle()}
    actions.undo(state, first, who="ben", why="wrong", now_us=NOW + 2)
    assert actions.standings(state) == {"a": blocked}  # later changes remain
    actions.undo(state, second, who="ben", why="wrong", now_us=NOW + 3)
    assert actions.standings(state) == {}


def test_an_undo_can_be_undone_and_only_once(state: ControlState) -> None:
    first = act(state, "a")
    back = actions.undo(state, first, who="ben", why="wrong", now_us=NOW)
    with pytest.raises(StateError, match=f"action {first} is undone already, by action {back}; undo {back}"):
        actions.undo(state, first, who="ben", why="wrong", now_us=NOW)
    actions.undo(state, back, who="ann", why="right after all", now_us=NOW)
    assert actions.standings(state) == {"a": throttle()}


def test_a_standing_ends_by_itself_and_uncovers_the_one_before(folder: Folder, state: ControlState) -> None:
    act(state, "a")
    act(state, "a", stands=EnforcementStatus(Step.BLOCK, NOW, until_us=NOW + HOUR))
    assert actions.end_what_is_over(state, now_us=NOW + HOUR - 1) == 0
    assert actions.end_what_is_over(state, now_us=NOW + HOUR) == 1
    assert load_tables(folder.state).standings == {"a": throttle()}
    assert [change.over for change in actions.history(state, "a")] == [True, False]


def test_a_clock_that_stood_ahead_ends_nothing_for_good(folder: Folder, state: ControlState) -> None:
    folder.terms.write_text(default_text(), encoding="utf-8")
    act(state, "a")
    act(state, "a", "b", stands=EnforcementStatus(Step.BLOCK, NOW, until_us=NOW + HOUR))
    enforcer = Enforcer(folder, state, open_terms(folder, keeps_history=False), print)
    before = actions.standings(state)
    assert before["a"].step is Step.BLOCK
    for ahead_us, restarts in ((30 * 24 * HOUR, False), (HOUR, True)):
        enforcer.step(NOW + ahead_us)
        assert actions.standings(state) == {"a": throttle()}
        if restarts:  # it does not know that the clock was ahead
            enforcer = Enforcer(folder, state, open_terms(folder, keeps_history=False), print)
        enforcer.step(NOW + 1)
        assert actions.standings(state) == before
    enforcer.step(NOW + HOUR)
    assert actions.standings(state) == {"a": throttle()}


def test_clear_lifts_what_stood(state: ControlState) -> None:
    act(state, "a")
    lifted = act(state, "a", stands=EnforcementStatus(Step.CLEAR, NOW))
    assert actions.standings(state) == {}
    actions.undo(state, lifted, who="ann", why="no", now_us=NOW)
    assert actions.standings(state) == {"a": throttle()}


def test_every_change_has_who_why_and_when(state: ControlState) -> None:
    number = act(state, "a", "b")
    actions.undo(state, number, who="ben", why="a mistake", now_us=NOW + 1)
    assert [(c.account, c.who, c.why, c.undone) for c in actions.history(state)] == [
        ("b", "ann", "test", True),
        ("a", "ann", "test", True),
    ]
    assert [(a.who, a.why, a.undoes, a.accounts) for a in actions.actions(state)] == [
        ("ben", "a mistake", number, 2),
        ("ann", "test", None, 2),
    ]
    assert [(e.what, e.subject) for e in state.events()] == [("action undone", "1"), ("standings set", "1")]


@pytest.mark.parametrize(
    ("changes", "why", "told"),
    [
        ([], "x", "no account was given"),
        ([("a", throttle()), ("a", throttle())], "x", "named twice"),
        ([("a", throttle())], " ", "say why"),
        ([("a", throttle(until_us=NOW))], "x", "end before it begins"),
        ([("a", throttle(output_tokens_per_hour=-1))], "x", "budget of -1"),
    ],
)
def test_an_action_that_cannot_be_is_refused_whole(
    state: ControlState, changes: list[tuple[str, EnforcementStatus]], why: str, told: str
) -> None:
    with pytest.raises(StateError, match=told):
        actions.act(state, changes, who="ann", why=why, now_us=NOW)
    assert actions.history(state) == []


def test_a_write_from_an_old_look_is_refused(state: ControlState) -> None:
    seen = state.revision()
    state.issue("acme", now_us=NOW)
    with pytest.raises(Stale, match=f"at revision {seen}, it is {seen + 1} now"):
        actions.act(state, [("a", throttle())], who="ann", why="x", now_us=NOW, if_revision=seen)
    state.issue("acme", now_us=NOW, if_revision=seen + 1)


def test_events_can_neither_be_changed_nor_taken_out(folder: Folder, state: ControlState) -> None:
    state.event("ann", "looked", "sw-1", {}, now_us=NOW)
    with sqlite3.connect(folder.state) as db:
        for statement in ("UPDATE events SET who = 'ben'", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError, match="events are never"):
                db.execute(statement)
    db.close()


Model = list[tuple[int, dict[str, EnforcementStatus], bool]]  # action, what it set, in force


def _stands(model: Model, over_us: int) -> dict[str, EnforcementStatus]:
    """Return the expected standings: for each account the last that is in force and has not ended."""
    found: dict[str, EnforcementStatus] = {}
    for _, sets, in_force in model:
        for account, standing in sets.items():
            if in_force and (standing.until_us is None or standing.until_us > over_us):
                found[account] = standing
    return {account: standing for account, standing in found.items() if standing.step}


standing_of = st.builds(
    EnforcementStatus,
    step=st.sampled_from(list(Step)),
    since_us=st.integers(0, 5),
    reason=st.sampled_from(["", "x"]),
    campaign=st.sampled_from([None, "sw-1"]),
    output_tokens_per_hour=st.sampled_from([None, 0, 10]),
    until_us=st.sampled_from([None, NOW + 3, NOW + 9]),
    mark=st.sampled_from([None, "m"]),
)
one_act = st.dictionaries(st.sampled_from("abcd"), standing_of, min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(one_act, st.integers(0, 30), st.just("time")), max_size=14))
def test_any_sequence_of_actions_and_undos_comes_to_what_a_replay_comes_to(
    tmp_path_factory: pytest.TempPathFactory, does: list[dict[str, EnforcementStatus] | int | str]
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.db"
    model: Model = []
    undoable: dict[int, int] = {}  # newest action of a family -> its place in the model
    over_us = NOW
    with ControlState(path, b"s" * 32) as state:
        follower = TableFollower(path)
        before: list[tuple[dict[str, EnforcementStatus], int, list[bool]]] = []
        for what in does:
            if isinstance(what, dict):
                before.append((actions.standings(state), over_us, [m[2] for m in model]))
                fit = {a: s for a, s in what.items() if s.until_us is None or s.until_us > over_us} or {
                    "a": throttle()
                }
                number = actions.act(state, list(fit.items()), who="w", why="y", now_us=over_us)
                undoable[number] = len(model)
                model.append((number, fit, True))
            elif what == "time":
                over_us += 3
                actions.end_what_is_over(state, now_us=over_us)
            elif undoable:
                newest = sorted(undoable)[int(what) % len(undoable)]
                place = undoable.pop(newest)
                undoable[actions.undo(state, newest, who="w", why="y", now_us=over_us)] = place
                number, sets, in_force = model[place]
                model[place] = (number, sets, not in_force)
                stood, at_us, below = before[place]
                same = below == [m[2] for m in model[:place]]  # nothing below was changed since
                if place == len(model) - 1 and in_force and at_us == over_us and same:
                    assert actions.standings(state) == stood  # exactly the earlier state
            follower.poll()
            assert actions.standings(state) == follower.tables.standings == _stands(model, over_us)
        follower.close()
        assert load_tables(path).standings == _stands(model, over_us)


# --- proposals ---


def _proposed(state: ControlState, *accounts: str, step: Step = Step.THROTTLE) -> int:
    want = WantedStep("sw-1", step, "ladder.rule 1", "a pool", accounts, NOW)
    proposals.write_down(state, ProposalChanges((Proposal(0, NOW, want),), (), ()), now_us=NOW)
    return proposals.proposals(state)[0].proposal


def test_a_proposal_is_applied_once(state: ControlState) -> None:
    number = _proposed(state, "a", "b")
    action = proposals.apply(state, number, who="ann", now_us=NOW)
    assert action is not None
    assert {a: s.step for a, s in actions.standings(state).items()} == {
        "a": Step.THROTTLE,
        "b": Step.THROTTLE,
    }
    with pytest.raises(StateError, match="is applied already, by ann"):
        proposals.apply(state, number, who="ben", now_us=NOW)
    actions.undo(state, action, who="ann", why="no", now_us=NOW)
    assert actions.standings(state) == {}


def test_the_ladder_passes_over_whom_a_person_decided_about(state: ControlState) -> None:
    act(state, "a", stands=EnforcementStatus(Step.CLEAR, NOW))
    proposals.apply(state, _proposed(state, "a", "b"), who=proposals.LADDER, now_us=NOW)
    assert set(actions.standings(state)) == {"b"}
    assert proposals.apply(state, _proposed(state, "a", "b"), who=proposals.LADDER, now_us=NOW) is None


def test_what_people_took_back_or_dismissed_is_remembered(state: ControlState) -> None:
    action = proposals.apply(state, _proposed(state, "a"), who=proposals.LADDER, now_us=NOW)
    assert proposals.overruled_by_people(state) == {}
    actions.undo(state, action or 0, who="ann", why="no", now_us=NOW)
    proposals.dismiss(state, _proposed(state, "b", step=Step.BLOCK), who="ann", why="no", now_us=NOW)
    assert proposals.overruled_by_people(state) == {"a": Step.THROTTLE, "b": Step.BLOCK}


# --- tables ---


def test_a_follower_sees_changes_and_only_them(folder: Folder, state: ControlState) -> None:
    follower = TableFollower(folder.state)
    assert follower.poll() == Tables(0)
    assert follower.poll() is None
    act(state, "a")
    assert follower.poll() == Tables(1, {}, {"a": throttle()})
    actions.undo(state, 1, who="ann", why="x", now_us=NOW)
    assert follower.poll() == Tables(2)
    assert follower.error is None
    follower.close()


def test_a_missing_file_is_an_error_until_it_is_there(folder: Folder) -> None:
    follower = TableFollower(folder.state)
    assert follower.poll() is None
    assert follower.error is not None
    with ControlState(folder.state) as state:
        state.issue("acme", now_us=NOW)
        tables = follower.poll()
        assert tables is not None
        assert len(tables.keys) == 1
        assert follower.error is None
    follower.close()


def test_the_last_good_tables_outlive_the_file(folder: Folder) -> None:
    with ControlState(folder.state) as state:
        act(state, "a")
    follower = TableFollower(folder.state)
    follower.poll()
    folder.state.unlink()
    assert follower.poll() is None
    assert follower.error is not None
    assert "a" in follower.tables.standings
    folder.state.write_bytes(b"no database at all, but long enough to look at" * 100)
    assert follower.poll() is None
    assert "not a database" in follower.error
    assert "a" in follower.tables.standings
    follower.close()


def test_a_back_up_put_in_its_place_is_read_whole(folder: Folder, tmp_path: Path) -> None:
    with ControlState(folder.state) as state:
        act(state, "a")
    shutil.copy(folder.state, tmp_path / "back-up")
    with ControlState(folder.state) as state:
        act(state, "b")
        act(state, "c")
    follower = TableFollower(folder.state)
    assert follower.poll() is not None
    shutil.copy(tmp_path / "back-up", folder.path / "new")
    (folder.path / "new").replace(folder.state)
    tables = follower.poll()
    assert tables is not None
    assert set(tables.standings) == {"a"}
    follower.close()


def test_a_locked_file_is_tried_again_later(folder: Folder, state: ControlState) -> None:
    act(state, "a")
    state.close()
    follower = TableFollower(folder.state)
    with sqlite3.connect(folder.state, isolation_level=None) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        assert follower.poll() is None
        assert follower.error is not None
        assert "locked" in follower.error
        db.execute("ROLLBACK")
    db.close()
    assert follower.poll() == Tables(1, {}, {"a": throttle()})
    assert follower.error is None
    follower.close()


def test_a_damaged_file_is_refused_with_what_to_do(folder: Folder) -> None:
    folder.state.write_bytes(b"\x00" * 8192)
    with pytest.raises(StateError, match="put back the last back-up"):
        ControlState(folder.state)


def test_a_newer_file_is_refused(folder: Folder) -> None:
    ControlState(folder.state).close()
    with sqlite3.connect(folder.state) as db:
        db.execute(f"PRAGMA user_version = {len(migrations.MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StateError, match="written by a newer Stillwatch"):
        ControlState(folder.state)
    with pytest.raises(StateError, match="has shape"):
        load_tables(folder.state)


def test_two_that_start_at_once_make_one_database(folder: Folder) -> None:
    errors: list[Exception] = []

    def begin() -> None:
        try:
            with ControlState(folder.state) as state:
                state.issue("acme", now_us=NOW)
        except StateError as why:
            errors.append(why)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(load_tables(folder.state).keys) == 8


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_whole_actions(folder: Folder) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from stillwatch.gateway.control import actions\n"
        "from stillwatch.gateway.control.state import ControlState\n"
        "from stillwatch.terms import EnforcementStatus, Step\n"
        "state = ControlState(Path(sys.argv[1])); print('up', flush=True)\n"
        "for k in range(10**6):\n"
        "    set_to = [(f'{k}-{i}', EnforcementStatus(Step.WATCH, 1)) for i in range(20)]\n"
        "    print(actions.act(state, set_to, who='w', why='y', now_us=1), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.state)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(12):
            last = writer.stdout.readline()
        writer.kill()
        said = [*writer.stdout.read().split(), last.strip()]
    acknowledged = max(int(word) for word in said if word.isdigit())
    with ControlState(folder.state) as state:
        done = actions.actions(state, limit=10**6)
        assert len(done) >= acknowledged
        assert {action.accounts for action in done} == {20}
    assert len(load_tables(folder.state).standings) == 20 * len(done)
