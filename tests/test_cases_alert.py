"""The complete alert, the record of each detector, and the command line for both."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from scipy.stats import beta, binom
from typer.testing import CliRunner

import cases_world as world
from cases_world import NOW_US, campaign, later, names, only, result
from stillwatch.cases import CaseError, DetectorState, RecordNotFound, Verdict, feedback, handling, reading
from stillwatch.cases.alert import VICTIMS, Alert, TokenPrices, alert
from stillwatch.cases.claims import ATLAS_ALWAYS, CLASSES, documented_limits, signal_sources
from stillwatch.cases.evidence import Input
from stillwatch.cases.exports.atlas import TECHNIQUES
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.report.findings import write
from stillwatch.scan import Reason
from stillwatch.scan.assemble import clues, detectors
from stillwatch.scan.parts import RAISING
from stillwatch.signals import signal_of

LONE = Reason(
    "lone_harvest", "heavy, with none of the marks of honest heavy use", 12.0, 900.0, 12.0, 80.0, 900
)
FILES = [Input("march.parquet", "ab" * 32, 123)]


def march(store: Store, _: Path) -> None:
    fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "march", inputs=FILES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with world.store_with(march, tmp_path) as made:
        yield made


def told(store: Store) -> Alert:
    return alert(store, only(store), NOW_US, "https://console.example/")


# --- the contract ---


def test_the_alert_has_everything_that_its_contract_asks_for(store: Store) -> None:
    a = told(store)
    assert a.title == "40 accounts took 400 answers of mira-think, asking for traces."
    assert [claim.detector for claim in a.why] == [
        "coordinated_harvest",
        "shared_wording",
        "shared_network",
        "trace_elicitation",
    ]
    raised = a.why[0]
    assert (raised.actual, raised.baseline, raised.bits, raised.n) == (0.92, 0.41, 17.2, 40)
    assert raised.effect == pytest.approx(0.92 / 0.41)
    assert raised.p_value == 1e-6
    assert a.why[1].p_value == pytest.approx(2**-14.3)
    for claim in a.why:
        assert claim.query.startswith("stillwatch scan march.parquet ")
        assert claim.detector in claim.query
        assert len(claim.input_sha256) == 64
        assert claim.null
    assert len(a.benign) == 3
    assert [b.checked for b in a.benign] == [False, True, True]
    assert a.links_total == 80
    assert {k.independence for k in a.links} == {"wording", "network"}
    assert {k.control for k in a.links} == {"client", "provider"}
    assert a.independent_classes == ("network", "wording")
    assert a.seen_by_provider == ("network",)
    x = a.exposure
    assert (x.exchanges, x.output_tokens, x.unique_prompts, x.exchanges_at_alarm) == (400, 200_000, 397, 100)
    assert x.capabilities == ("reasoning traces",)
    assert x.milestones.startswith("Below every published size")
    assert "not the chance of innocence" in a.confidence.sentence
    assert "worlds by other authors" in a.confidence.measured_on
    assert {s.id for s in a.detectors} == {claim.detector for claim in a.why}
    for source in a.detectors:
        assert len(source.config_sha256) == 64
        assert source.evades_by != "not stated"
        assert source.version == "0.1.0"
    assert [g["text"] for g in a.gaps] == ["half of the usual"]  # the one within its hours
    assert {one["id"] for one in a.atlas} >= {"AML.T0040", "AML.T0024.002", "AML.T0005.001"}
    assert (a.action.step, a.action.accounts, a.action.collateral) == ("throttle", 40, 0)
    assert a.permalink == f"https://console.example/cases/{a.case}"
    assert a.json_twin == f"{a.permalink}.json"
    assert a.inputs == ({"name": "march.parquet", "sha256": "ab" * 32, "bytes": 123},)
    assert a.bundle_sha256 is None


def test_the_alert_is_json_without_nan_and_says_the_same(store: Store) -> None:
    a = told(store)
    again = json.loads(json.dumps(a.as_json(), allow_nan=False))
    assert again["format"] == "stillwatch.alert/1"
    assert again["why"][0]["p_value"] == 1e-6
    assert again["accounts"] == list(names(0, 40))


def test_who_has_only_the_file_comes_to_the_same_verdict(store: Store) -> None:
    """A second analyst's reasoning from the JSON alone: is the alarm strong, independent, and unexcused?"""
    a = json.loads(json.dumps(told(store).as_json()))
    strong = min(claim["p_value"] for claim in a["why"] if claim["detector"] in RAISING) < 1e-3
    witnesses = len(a["independent_classes"]) >= 2 and len(a["seen_by_provider"]) >= 1
    larger = all(claim["actual"] > claim["baseline"] for claim in a["why"][:2])
    assert strong
    assert witnesses
    assert larger
    assert a["exposure"]["exchanges"] == sum(n for _, n, _ in reading.hours_of(store, a["case"]))


def test_numbers_that_are_none_stay_none(tmp_path: Path) -> None:
    odd = Reason("shared_wording", "odd", 3.0, math.nan, 0.0, math.inf, None)
    with Store(world.url_of("sqlite", tmp_path)) as store:
        fold(store, result(campaign("sw-1", names(0, 9), reasons=[world.RAISED, odd])), NOW_US, "x")
        claim = told(store).why[1]
    assert (claim.actual, claim.peer_p95, claim.effect, claim.n) == (None, None, None, None)


def test_what_a_harvest_cost_is_said_where_prices_are_known(store: Store) -> None:
    a = alert(store, only(store), NOW_US, prices=TokenPrices(to_us=2.0, to_them=10.0))
    assert (a.exposure.cost_to_us_usd, a.exposure.cost_to_them_usd) == (0.4, 2.0)
    assert told(store).exposure.cost_to_us_usd is None


def test_victims_are_counted_apart_and_left_alone(store: Store) -> None:
    case_id = only(store)
    handling.judge_accounts(
        store, case_id, names(0, 2), Verdict.VICTIM, who="ann", why="stolen", now_us=NOW_US
    )
    a = told(store)
    assert (a.members, a.victims) == (38, 2)
    assert not set(a.accounts) & set(names(0, 2))
    assert a.action.accounts == 38
    assert a.action.left_out == {"victim": 2}
    assert "leave their accounts alone" in a.action.text
    assert "AML.T0012" in {one["id"] for one in a.atlas}
    assert a.exposure.victims_exchanges > 0
    assert "2 victims" in a.title


@pytest.mark.slow
def test_what_to_do_follows_what_is_known(tmp_path: Path) -> None:
    def step(*found: object, verdict: Verdict | None = None) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with Store(world.url_of("sqlite", folder)) as store:
            fold(store, result(*found), NOW_US, "x")  # type: ignore[arg-type]
            if verdict is not None:
                handling.judge(store, only(store), verdict, who="ann", why="x", now_us=NOW_US)
            return told(store).action.step

    copied = campaign("sw-1", names(0, 9), reasons=[world.RAISED, world.WORDED])
    assert step(copied) == "watch"  # somebody else could have copied everything that ties them
    assert step(campaign("sw-1", ("solo",), reasons=[LONE])) == "verify"
    assert step(campaign("sw-1", names(0, 9))) == "throttle"
    assert step(campaign("sw-1", names(0, 9)), verdict=Verdict.TRUE) == "block"
    assert step(campaign("sw-1", names(0, 9)), verdict=Verdict.FALSE) == "none"
    assert step(campaign("sw-1", names(0, 9), suppressed_by="permission: red team")) == "none"


@pytest.mark.slow
def test_who_is_tied_by_too_little_is_not_acted_on_until_somebody_has_judged_him(tmp_path: Path) -> None:
    found = replace(campaign("sw-1", names(0, 9)), firm=names(0, 4))
    with Store(world.url_of("sqlite", tmp_path)) as store:
        fold(store, result(found), NOW_US, "x")
        case_id = only(store)
        hit = reading.targets(store, case_id)
        assert (hit.accounts, hit.weak) == (names(0, 4), names(4, 9))
        assert hit.left_out == {"tied by too little": 5}
        assert "5 more are tied by too little" in told(store).action.text
        handling.judge_accounts(
            store, case_id, ["acct_00007"], Verdict.TRUE, who="ann", why="his card too", now_us=NOW_US
        )
        assert reading.targets(store, case_id).accounts == (*names(0, 4), "acct_00007")
        # a later finding that ties them by less counts, not the earlier one
        fold(store, result(replace(found, firm=(), p_value=1e-9)), NOW_US + 1, "x")
        assert reading.targets(store, case_id).accounts == ("acct_00007",)
        assert told(store).action.accounts == 1


def test_the_alert_carries_the_last_bundle(store: Store) -> None:
    for digest in ("ab" * 32, "cd" * 32):
        handling.record_export(
            store, only(store), {"format": "bundle", "sha256": digest}, who="ann", now_us=NOW_US
        )
    handling.record_export(
        store, only(store), {"format": "ocsf", "sha256": "ef" * 32}, who="ann", now_us=NOW_US
    )
    assert told(store).bundle_sha256 == "cd" * 32


def test_there_is_no_alert_of_no_case(store: Store) -> None:
    with pytest.raises(RecordNotFound):
        alert(store, "case-0000000000", NOW_US)


def test_every_clue_has_a_class_of_independence_and_every_detector_says_its_limits() -> None:
    for clue in clues():
        assert clue.NAME in CLASSES, f"claims.CLASSES lacks {clue.NAME}"
    for name in (*RAISING, *(c.NAME for c in clues()), *(d.NAME for d in detectors())):
        assert all(text not in ("", "not stated") for text in documented_limits(name).values()), name


def test_atlas_ids_have_the_names_that_exports_give_them() -> None:
    by_signals = [found for one in signal_sources().values() if (found := signal_of(one).atlas)]
    assert len(by_signals) == 9
    for number, name, _ in (*ATLAS_ALWAYS, *by_signals, VICTIMS):
        assert TECHNIQUES[number].name == name


# --- records of detectors ---


def judged(store: Store, verdicts: list[tuple[Verdict, str]], reason: Reason = LONE) -> None:
    """Cases of single accounts, each judged by a person."""
    for i, (verdict, who) in enumerate(verdicts):
        fold(store, result(campaign(f"sw-{who}-{i}", (f"solo-{who}-{i}",), reasons=[reason])), NOW_US, "x")
        case = reading.queue(store, reading.Filter(account=f"solo-{who}-{i}"), NOW_US).cases[0]
        handling.judge(store, case.id, verdict, who=who, why="looked", approver="zed", now_us=NOW_US)


def lone(store: Store, detector: str = "lone_harvest") -> feedback.Measured:
    with store.reading() as db:
        return feedback.measured_in(db, detector, NOW_US)


@pytest.mark.slow
def test_precision_is_what_people_found_with_an_exact_interval(store: Store) -> None:
    judged(store, [(Verdict.TRUE, "ann")] * 8 + [(Verdict.FALSE, "bo")] * 2)
    judged(store, [(Verdict.PERMITTED, "cy"), (Verdict.SUSPICIOUS, "cy")])
    one = lone(store)
    assert (one.right, one.judged, one.permitted, one.undecided, one.judges) == (8, 10, 1, 1, 2)
    assert one.low == pytest.approx(beta.ppf(0.025, 8, 3))
    assert one.high == pytest.approx(beta.ppf(0.975, 9, 2))
    # by definition: at the interval's ends, a result at least so extreme has probability 2.5 %
    assert binom.sf(7, 10, one.low) == pytest.approx(0.025)
    assert binom.cdf(8, 10, one.high) == pytest.approx(0.025)
    (month,) = [m for m in feedback.by_month(store) if m.detector == "lone_harvest"]
    assert (month.month, month.right, month.judged) == ("2026-03", 8, 10)
    # the cases of one actor count once, however many findings it had
    fold(store, result(campaign("sw-again", ("solo-ann-0", "x"), reasons=[LONE], hours=9)), NOW_US + 1, "x")
    assert lone(store).judged == 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_all_records_at_once_are_those_of_each_and_of_the_months(kind: str, tmp_path: Path) -> None:
    with Store(world.url_of(kind, tmp_path)) as store:
        fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "march", inputs=FILES)
        judged(store, [(Verdict.TRUE, "ann"), (Verdict.FALSE, "bo"), (Verdict.SUSPICIOUS, "bo")])
        every = feedback.measure_all(store, NOW_US)
        assert every["lone_harvest"] == lone(store)
        assert (every["lone_harvest"].judged, every["lone_harvest"].undecided) == (2, 1)
        months = feedback.by_month(store)
        for name, one in every.items():
            assert one == lone(store, name)
            mine = [m for m in months if m.detector == name]
            assert sum(m.undecided for m in mine) == one.undecided, name
        ids = [c.id for c in reading.queue(store, reading.Filter(), NOW_US).cases]
        handling.merge(store, ids[0], ids[1], who="ann", why="x", now_us=NOW_US)
        merged = feedback.measure_all(store, NOW_US)
        assert sum(m.judged + m.undecided for m in merged.values()) < sum(
            m.judged + m.undecided for m in every.values()
        )


def test_a_verdict_that_is_undone_does_not_count(store: Store) -> None:
    judged(store, [(Verdict.TRUE, "ann")])
    case = reading.queue(store, reading.Filter(account="solo-ann-0"), NOW_US).cases[0]
    handling.undo(store, case.id, reading.acts(store, case.id)[-1].id, who="ann", why="x", now_us=NOW_US)
    assert lone(store).judged == 0


@pytest.mark.slow
def test_detectors_are_promoted_by_evidence_only(store: Store) -> None:
    def promote(state: DetectorState) -> feedback.DetectorStanding:
        return feedback.set_state(store, "lone_harvest", state, who="ann", why="x", now_us=NOW_US)

    assert feedback.states(store)["lone_harvest"].state == DetectorState.ALERT
    with pytest.raises(CaseError, match="0 cases were judged"):
        promote(DetectorState.ACT)
    judged(store, [(Verdict.TRUE, "ann")] * 36)
    with pytest.raises(CaseError, match="1 person judged them"):
        promote(DetectorState.ACT)
    judged(store, [(Verdict.TRUE, "bo")] * 4)
    with pytest.raises(CaseError, match="one person gave 90% of the verdicts"):
        promote(DetectorState.ACT)
    judged(store, [(Verdict.TRUE, "cy")] * 8)
    assert promote(DetectorState.ACT).state == DetectorState.ACT
    assert promote(DetectorState.SHADOW).state == DetectorState.SHADOW  # allowed at any time
    with pytest.raises(CaseError, match="one step at a time"):
        promote(DetectorState.ACT)
    assert promote(DetectorState.ALERT).who == "ann"


@pytest.mark.slow
def test_wrong_alarms_keep_a_detector_from_acting(store: Store) -> None:
    judged(store, [(Verdict.TRUE, "ann")] * 20 + [(Verdict.FALSE, "bo")] * 5)
    with pytest.raises(CaseError, match="20 of 25 were right"):
        feedback.set_state(store, "lone_harvest", DetectorState.ACT, who="a", why="x", now_us=NOW_US)


def test_there_is_no_such_detector(store: Store) -> None:
    with pytest.raises(CaseError, match="is no detector"):
        feedback.set_state(store, "nonsense", DetectorState.SHADOW, who="a", why="x", now_us=NOW_US)


def test_an_alarm_in_shadow_asks_for_a_look_and_no_more(store: Store) -> None:
    feedback.set_state(
        store, "coordinated_harvest", DetectorState.SHADOW, who="ann", why="noisy", now_us=NOW_US
    )
    a = told(store)
    assert a.action.step == "none"
    assert next(s for s in a.detectors if s.raised).state == "shadow"


@pytest.mark.slow
def test_an_own_record_is_quoted_once_there_is_enough_of_it(store: Store) -> None:
    judged(store, [(Verdict.TRUE, "ann")] * 18 + [(Verdict.FALSE, "bo")] * 2)
    case = reading.queue(store, reading.Filter(account="solo-ann-0"), NOW_US).cases[0]
    sure = alert(store, case.id, NOW_US).confidence
    assert (sure.right, sure.judged) == (18, 20)
    assert "18 of 20 such alarms were right here" in sure.sentence


def test_dismissals_change_no_scan(store: Store) -> None:
    """The inputs of a scan are a log, accounts and options: no verdict can reach it."""
    from stillwatch.scan.pipeline import Options

    assert not {"verdicts", "cases", "store", "feedback"} & set(Options.__dataclass_fields__)
    before = asdict(told(store))["why"]
    handling.judge(store, only(store), Verdict.FALSE, who="ann", why="x", now_us=NOW_US)
    assert asdict(told(store))["why"] == before


# --- the command line ---

RUN = CliRunner()


def run(folder: Path, *words: str, code: int = 0, given: str | None = None) -> str:
    done = RUN.invoke(app, ["case", *words, "--folder", str(folder)], input=given, catch_exceptions=False)
    assert done.exit_code == code, done.output + done.stderr
    return done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(result(campaign("sw-1", names(0, 40))), tmp_path / "report")
    assert "1 opened" in run(tmp_path, "fold", str(tmp_path / "report"))
    return tmp_path


@pytest.mark.slow
def test_a_case_from_the_command_line(folder: Path) -> None:
    assert "nothing new" in run(folder, "fold", str(folder / "report"))
    listed = json.loads(run(folder, "list", "--json"))
    (case,) = listed["cases"]
    short = case["id"][:9]
    assert case["members"] == 40
    assert "40 accounts took 400 answers" in run(folder, "list")
    shown = run(folder, "show", short)
    assert "What would make it honest" in shown
    assert "Throttle 40 accounts" in shown
    assert (
        json.loads(run(folder, "show", short, "--json", "--price", "10"))["exposure"]["cost_to_them_usd"] == 2
    )
    assert "is open" in run(folder, "assign", short, "bo", "--due", "4h")
    assert "2 victims" in run(folder, "judge", short, "victim", "acct_00001", "acct_00002", "--why", "stolen")
    targets = run(folder, "accounts", short, "--targets").splitlines()
    assert "acct_00001" not in targets
    assert len([line for line in targets if line.startswith("acct_")]) == 38
    run(folder, "note", short, "-", given="from a pipe")
    assert "from a pipe" in run(folder, "log", short)
    assert "closed, true" in run(folder, "close", short, "--verdict", "true", "--why", "blocked")
    assert "no case waits" in run(folder, "list")
    assert "true" in run(folder, "list", "--all")
    act = json.loads(run(folder, "log", short, "--json"))[0]["act"]["id"]
    assert "is open" in run(folder, "undo", short, str(act), "--why", "wrong one")
    run(folder, "suppress", short, "--owner", "bo", "--for", "3d", "--why", "red team")
    run(folder, "suppress", short, "--end", "--why", "over")
    run(folder, "appeal", short, "we are a class", "--account", "acct_00003")
    run(folder, "judge", short, "--clear", "acct_00001", "--why", "mixed up")
    assert "lone_harvest (raises)" in run(folder, "detectors")
    assert "on shadow" in run(folder, "detector", "lone_harvest", "shadow", "--why", "noisy")
    assert "coordinated_harvest" in run(folder, "detectors", "--months")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("show", "case-ffff"), "there is no case"),
        (("judge", "case-", "nonsense", "--why", "x"), "is no verdict"),
        (("judge", "case-", "true"), "why is missing"),
        (("judge", "case-", "--why", "x"), "give a verdict"),
        (("judge", "case-", "false", "nobody", "--why", "x"), "not in case"),
        (("close", "case-", "--why", "x"), "has no verdict"),
        (("assign", "case-"), "give an owner"),
        (("suppress", "case-", "--why", "x"), "needs --owner"),
        (("decide", "case-", "--why", "x"), "give --grant"),
        (("undo", "case-", "99", "--why", "x"), "no act 99"),
        (("note", "case-", "  "), "is missing"),
        (("judge", "case-", "true", "--why", "x", "--if-revision", "77"), "look again"),
        (("fold", "/no/such/report"), "no such file"),
        (("list", "--cases", "mysql://x/y"), "cannot be kept in"),
        (("detector", "nonsense", "act", "--why", "x"), "is no detector"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_why(
    folder: Path, words: tuple[str, ...], complaint: str
) -> None:
    done = RUN.invoke(app, ["case", *words, "--folder", str(folder)])
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_where_there_are_no_cases_it_says_how_to_make_some(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["case", "list", "--folder", str(tmp_path)])
    assert done.exit_code == 2
    assert "scan LOG..." in done.stderr


@pytest.mark.slow
def test_hostile_names_do_nothing_in_a_terminal(tmp_path: Path) -> None:
    odd = campaign("sw-\x1b[2J", ("esc\x1b[2J", "two\nlines", "pay\u202egnp"))
    odd = replace(odd, title="title \x1b]0;owned\x07 of <script>")
    with Store(f"sqlite:///{tmp_path}/cases.db") as store:
        fold(store, result(later(odd, "sw-2", ["fine"])), NOW_US, "x")
    for words in (("list",), ("show", "case-"), ("accounts", "case-"), ("log", "case-")):
        out = run(tmp_path, *words)
        assert not set("\x1b\x07\u202e") & set(out), words
    names_only = run(tmp_path, "accounts", "case-", "--targets")
    assert "fine" in names_only
    assert "\x1b" not in names_only


def test_scan_folds_into_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": "2026-03-01T00:00:00Z", "account": "a", "prompt": "hello there"}\n')
    found = result(campaign("sw-1", names(0, 40)))
    monkeypatch.setattr("stillwatch.api.scanning.run", lambda *_, **__: found)
    url = f"sqlite:///{tmp_path}/cases.db"
    done = RUN.invoke(app, ["scan", str(log), "--out", str(tmp_path / "report"), "--cases", url, "--json"])
    assert "1 opened" in done.stderr
    with Store(url) as store:
        (file,) = told(store).inputs
    assert file["bytes"] == log.stat().st_size
    assert (tmp_path / "audit.key").stat().st_mode & 0o077 == 0


def test_a_claim_names_the_tables_that_were_beside_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their digests too: an edited table of networks can exempt anybody. The digest shows the edit."""
    log, accounts, networks = tmp_path / "log.jsonl", tmp_path / "known.csv", tmp_path / "ip2asn.tsv"
    log.write_text('{"time": "2026-03-01T00:00:00Z", "account": "a", "prompt": "hello there"}\n')
    accounts.write_text("account\na\n")
    networks.write_text("80.0.0.0\t80.0.0.255\t3320\n")
    found = result(campaign("sw-1", names(0, 40)))
    monkeypatch.setattr("stillwatch.api.scanning.run", lambda *_, **__: found)
    url = f"sqlite:///{tmp_path}/cases.db"
    words = ["scan", str(log), "--accounts", str(accounts), "--networks", str(networks), "--cases", url]
    RUN.invoke(app, [*words, "--short-answers", "0", "--out", str(tmp_path / "report")])
    with Store(url) as store:
        alert = told(store)
    digests = {one["name"]: one["sha256"] for one in alert.inputs}
    assert digests["ip2asn.tsv"] == hashlib.sha256(networks.read_bytes()).hexdigest()
    assert set(digests) == {"log.jsonl", "known.csv", "ip2asn.tsv"}
    query = alert.why[0].query
    assert query.startswith(
        "stillwatch scan log.jsonl --accounts known.csv --networks ip2asn.tsv "
        "--false-cases 1 --short-answers 0 --json"
    )


def test_a_reader_that_goes_away_costs_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `scan … | head`: the pipe breaks while the table is printed."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": "2026-03-01T00:00:00Z", "account": "a", "prompt": "hello there"}\n')
    found = result(campaign("sw-1", names(0, 40)))
    monkeypatch.setattr("stillwatch.api.scanning.run", lambda *_, **__: found)

    def gone(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("stillwatch.cli.scan.print_result", gone)
    url = f"sqlite:///{tmp_path}/cases.db"
    assert RUN.invoke(app, ["scan", str(log), "--out", str(tmp_path / "report"), "--cases", url]).exit_code
    with Store(url) as store:
        assert told(store).members == 40


def test_what_was_found_is_printed_even_where_the_cases_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": "2026-03-01T00:00:00Z", "account": "a", "prompt": "hello there"}\n')
    found = result(campaign("sw-1", names(0, 40)))
    monkeypatch.setattr("stillwatch.api.scanning.run", lambda *_, **__: found)

    def refuse(*_: object, **__: object) -> None:
        raise CaseError("the cases are locked")

    monkeypatch.setattr("stillwatch.cli.scan.fold", refuse)
    url = f"sqlite:///{tmp_path}/cases.db"
    done = RUN.invoke(app, ["scan", str(log), "--out", str(tmp_path / "report"), "--cases", url])
    assert (done.exit_code, "sw-1" in done.stdout) == (2, True)
    assert "the cases are locked" in done.stderr


def test_cases_that_cannot_be_opened_are_said_before_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.api.scanning.run", lambda *_, **__: pytest.fail("it scanned"))
    for url in ("sqlite:////no/such/folder/cases.db", "postgresql://nobody@/none?host=/nowhere"):
        done = RUN.invoke(app, ["scan", "log.jsonl", "--out", str(tmp_path / "report"), "--cases", url])
        assert done.exit_code == 2
        assert len(done.stderr.strip().splitlines()) == 1
