"""Echoes: passages are stored in parts, honest crowds are not tied by chance, a pool is."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from echo_world import DAYS, Exchanges, honest, pool, prose
from scan_world import SKETCHER, START, known_of
from stillwatch.actors import Actor, ActorContext
from stillwatch.actors.clues import echo as clue
from stillwatch.actors.clues.echo import echo_evidence
from stillwatch.actors.echo import LEAST_PASSAGES, echoes
from stillwatch.exchanges import RECORD, ids
from stillwatch.exchanges.kept import KeptLog
from stillwatch.exchanges.log import build
from stillwatch.exchanges.read import read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import ANSWERED, BROUGHT, sketch_batch
from stillwatch.report.explain import explain, print_explanation
from stillwatch.report.findings import findings_json, load, write
from stillwatch.scan import AccountVerdict, Echo, Lead, ScanResult, ScanTotals
from test_report_terminal import console, printed

# --- passages


def shared(answers: list[str], requests: list[str]) -> np.ndarray:
    given = SKETCHER.passages(pa.array(answers), ANSWERED)
    brought = SKETCHER.passages(pa.array(requests), BROUGHT["prompt"])
    return np.array(
        [len((set(a) - {0}) & set(b)) for a, b in zip(given.tolist(), brought.tolist(), strict=True)]
    )


def test_an_answer_is_found_whole_in_part_and_in_a_wrapper() -> None:
    rng = random.Random(3)
    answers = [prose(rng, rng.randint(80, 700)) for _ in range(80)]

    def rate(change) -> float:
        return float(np.mean(shared(answers, [change(a) for a in answers]) >= LEAST_PASSAGES))

    half = [" ".join(a.split()[: len(a.split()) // 2]) for a in answers]
    by_answer = dict(zip(answers, half, strict=True))
    assert rate(lambda a: a) == 1.0
    assert rate(lambda a: f"RAW TRACE 17 {prose(rng, 30)}\n{a}\n\nEnd with VALID. {prose(rng, 20)}") >= 0.98
    assert rate(lambda a: json.dumps({"trace": a.replace(" ", "\n", 9), "n": 1})) >= 0.98
    assert (
        rate(lambda a: "# " + " ".join(f"**{w}**" if k % 7 == 0 else w for k, w in enumerate(a.split())))
        == 1.0
    )
    assert rate(lambda a: f"{prose(rng, 30)} {by_answer[a]}") >= 0.8
    assert rate(str.upper) == 1.0
    # the limits: a change in every eighth word, and another answer
    assert rate(lambda a: " ".join(w if k % 8 else "other" for k, w in enumerate(a.split()))) <= 0.05
    assert rate(lambda a: prose(rng, 300)) == 0.0


def test_short_and_plain_runs_are_no_passages() -> None:
    for text in (
        "",
        "one two three four five six seven",
        "1 2 3 4 5 6 7 8 9 10 " * 9,
        "ha " * 60,
        "| --- " * 50,
    ):
        assert not SKETCHER.passages(pa.array([text]), 12).any(), text
    assert (SKETCHER.passages(pa.array(["a b c d e f g h"]), 12) != 0).sum() == 1


def test_passages_depend_on_the_key_and_not_on_neighbours() -> None:
    rng = random.Random(4)
    texts = [prose(rng, rng.randint(0, 200)) for _ in range(40)]
    together = SKETCHER.passages(pa.array(texts), 12)
    alone = np.vstack([SKETCHER.passages(pa.array([text]), 12) for text in texts])
    assert np.array_equal(together, alone)
    other = Sketcher(b"another key of enough bytes").passages(pa.array(texts), 12)
    assert not set(other[other != 0].tolist()) & set(together[together != 0].tolist())
    repeated = pa.array([texts[k % 3] for k in range(9000)])
    assert np.array_equal(
        SKETCHER.passages(repeated, 8), SKETCHER.passages(pa.array(texts[:3]), 8)[np.arange(9000) % 3]
    )


# --- the record


TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": [{"type": "text", "text": "an earlier answer"}]},
    {"role": "tool", "content": "what the tool gave"},
    {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "a result"}]},
                                 {"type": "text", "text": "last question"}]},
]  # fmt: skip
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "the answer"}, "finish_reason": "stop"}]}
AT = "2026-03-02T08:00:00Z"
LINES = {
    "pairs": {"time": AT, "account": "a", "request": {"messages": TALK}, "response": ANSWER},
    "litellm": {"startTime": 1772438400.0, "call_type": "acompletion", "id": "1", "messages": TALK,
                "metadata": {"user_api_key_hash": "a"}, "response": ANSWER},
    "nginx": {"time_iso8601": AT, "remote_user": "a", "remote_addr": "192.0.2.1",
              "request_body": json.dumps({"messages": TALK}), "response_body": json.dumps(ANSWER)},
    "bedrock": {"schemaType": "ModelInvocationLog", "timestamp": AT, "accountId": "a", "modelId": "m",
                "input": {"inputBodyJson": {"messages": TALK}},
                "output": {"outputBodyJson": {"content": [{"type": "text", "text": "the answer"}]}}},
    "langfuse": {"traceId": "t", "id": "1", "type": "GENERATION", "startTime": AT, "userId": "a",
                 "input": TALK, "output": "the answer"},
    "own": {"time": AT, "account": "a", "prompt": TALK, "completion": "the answer"},
}  # fmt: skip


def read_line(line: dict, tmp_path) -> dict:
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(line) + "\n")
    (batch,) = read([file], rejects=Rejects(), now=datetime(2026, 4, 1, tzinfo=UTC))
    return batch.to_pylist()[0]


@pytest.mark.parametrize("source", LINES)
def test_what_came_beside_the_last_user_message_is_read(source: str, tmp_path) -> None:
    row = read_line(LINES[source], tmp_path)
    assert (row["system"], row["completion"]) == ("be brief", "the answer")
    assert row["prompt"].endswith("last question")
    for text in ("first question", "an earlier answer"):
        assert text in row["earlier"]
    for text in ("what the tool gave", "a result"):  # new after the model's last answer
        assert text in row["earlier"] + row["prompt"]
    assert "last question" not in row["earlier"]
    assert "be brief" not in row["earlier"]


def test_a_value_that_is_no_text_leaves_the_column_empty(tmp_path) -> None:
    line = {"time": AT, "account": "a", "prompt": TALK, "completion": "x", "earlier": {"no": 1}}
    assert read_line(line, tmp_path)["earlier"] is None


def test_a_row_keeps_its_id() -> None:
    row = {"time": START, "account": "a", "prompt": "q", "completion": "c"}
    with_it, without = (pa.RecordBatch.from_pylist([r], RECORD) for r in (row | {"earlier": "x"}, row))
    assert ids.derive(with_it) == ids.derive(without)


def test_a_log_without_completions_holds_nothing_of_it() -> None:
    world = Exchanges(1)
    world.people("p", 5)
    for row in world.rows:
        row["completion"] = None
    log = world.log()
    assert log.answered.size == log.brought.size == 0
    assert echo_evidence(log, log.accounts) is None


def test_sketched_and_growing_logs_hold_the_same_passages() -> None:
    world = Exchanges(2)
    names = pool(world, 6, 6)
    rows = world.rows
    for row in rows[::5]:
        row["completion"] = None
    for row in rows[:40]:
        row["completion"] = None  # a first batch without any
    key = Sketcher(b"a key of sixteen bytes")
    batches = world.table().to_batches(40)
    plain = build(batches, key, threads=1)
    stored = [sketch_batch(batch, key) for batch in batches]
    assert stored[0].column("answered_passages").null_count == len(stored[0])
    mixed = pa.Table.from_batches(stored).combine_chunks().to_batches()
    kept = KeptLog(key)
    for batch in batches:
        kept.add(batch)
        kept.merged()
    again = KeptLog(key)
    again.restore(kept.arrays(), "here")
    for log in (build(stored, key, threads=1), build(mixed, key, threads=1), kept.log, again.log):
        assert np.array_equal(log.answered, plain.answered)
        assert np.array_equal(log.brought, plain.brought)
    assert not plain.answered[plain["status"] == 0].any()
    kept.forget(int(plain["ts_us"][len(plain) // 2]))
    assert np.array_equal(kept.log.answered, plain.answered[len(plain) // 2 :])
    assert echo_evidence(plain, names) is not None


# --- echoes


@pytest.mark.slow
def test_honest_crowds_are_not_tied_by_chance() -> None:
    """Strangers, two keys of one company, a vendor that judges, readers of published texts."""
    for seed in range(6):
        world, groups = honest(seed)
        log = world.log()
        tenant = world.tenant(log)
        found = echoes(log, tenant)
        for name in ("strangers", "vendor", "companies"):
            evidence = echo_evidence(log, groups[name], tenant, found)
            if evidence is not None:
                assert evidence.p_value > 0.05, (seed, name, evidence.text)
                assert not evidence.tied
        assert len(echoes(log, np.zeros(len(log.accounts), np.int32))) == 0  # one tenant


@pytest.mark.slow
def test_a_pool_is_tied_whole_truncated_and_beside_honest_crowds() -> None:
    for how in ("whole", "truncated"):
        world, _ = honest(21)
        names = pool(world, how=how)
        log = world.log()
        tenant = world.tenant(log)
        evidence = echo_evidence(log, names, tenant)
        assert evidence is not None
        assert evidence.p_value < 1e-3, how
        assert {log.accounts[k] for k in evidence.tied} <= set(names)
        assert len(evidence.tied) >= 15
        assert evidence.earlier == 0
        truth = set(names)
        assert all({log.accounts[e.answered], log.accounts[e.quoted_by]} <= truth for e in evidence.echoes)
        times = [(e.answered_us, e.quoted_us) for e in evidence.echoes]
        assert all(answered < quoted for answered, quoted in times)
        assert times == sorted(times, key=lambda t: t[1])


def test_a_pool_that_rewords_is_not_seen() -> None:
    """The limit: every fifth word is another."""
    world = Exchanges(22)
    names = pool(world, how="reworded")
    assert echo_evidence(world.log(), names) is None


def topic(seed: int, late: bool) -> tuple[Exchanges, list[str]]:
    """People of one field: the model recites its texts, and they paste them independently."""
    world = Exchanges(seed)
    rng = world.rng
    world.people("person", 20, 4)
    own = [prose(rng, 120) for _ in range(50)]
    names = [f"topic{k:02}" for k in range(24)]
    for k, name in enumerate(names):
        for _ in range(10):
            hour = 24 * rng.uniform(DAYS * 0.7 * k / len(names) if late else 0.0, DAYS)
            pasted, recited = (rng.choice(own) if rng.random() < 0.15 else "" for _ in range(2))
            world.ask(name, hour, f"{prose(rng, 20)} {pasted}", f"{world.answer()} {recited}")
    return world, names


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_texts_that_both_know_give_no_small_p_value(late: bool) -> None:
    """A separate group, so that only the order of time can show it; also if accounts join one by one."""
    runs, found, pairs = 40, [], 0
    for seed in range(runs):
        world, names = topic(seed, late)
        evidence = echo_evidence(world.log(), names)
        found.append(1.0 if evidence is None else evidence.p_value)
        pairs += 0 if evidence is None else evidence.pairs
    assert pairs > 2 * runs  # the test had enough pairs
    for level in (0.01, 0.05, 0.25, 0.5):
        assert np.sum(np.array(found) <= level) <= binom.ppf(0.9995, runs, level), (level, sorted(found)[:5])


@pytest.mark.slow
def test_a_class_that_passes_answers_on_is_no_chance() -> None:
    """Why echoes turn no lead into a finding: here answers did pass between honest people."""
    world, groups = honest(3)
    log = world.log()
    evidence = echo_evidence(log, groups["class"], world.tenant(log))
    assert evidence is not None
    assert evidence.p_value < 0.01


def small(*said: tuple[str, float, str, str]) -> Exchanges:
    world = Exchanges(9)
    for account, hour, prompt, answer in said:
        world.ask(account, hour, prompt, answer)
    return world


A, B, C, D, E = ("acct-a", "acct-b", "acct-c", "acct-d", "acct-e")


def test_what_makes_no_echo() -> None:
    rng = random.Random(6)
    text, ask = prose(rng, 120), prose(rng, 15)
    cases = {
        "an echo": ([(A, 1, ask, text), (B, 2, text, "ok")], 1),
        "before the answer is there": ([(A, 1, ask, text), (B, 1.0001, text, "ok")], 0),
        "its own account": ([(A, 1, ask, text), (A, 2, text, "ok")], 0),
        "another was answered it": ([(A, 1, ask, text), (C, 1.5, ask, text), (B, 2, text, "ok")], 0),
        "another is answered it later": ([(A, 1, ask, text), (B, 2, text, "ok"), (C, 3, ask, text)], 0),
        "a request brought it first": ([(C, 0, text, "ok"), (A, 1, ask, text), (B, 2, text, "ok")], 0),
        "it repeats its own request": ([(A, 1, text, text), (B, 2, text, "ok")], 0),
        "many quote it": ([(A, 1, ask, text), (B, 2, text, "1"), (C, 2, text, "2"), (D, 2, text, "3")], 0),
        "the quoting one repeats it": ([(A, 1, ask, text), (B, 2, text, text)], 1),
        "too little of it": ([(A, 1, ask, text), (B, 2, " ".join(text.split()[:12]), "ok")], 0),
    }
    for name, (said, many) in cases.items():
        log = small(*said).log()
        found = echoes(log, np.arange(len(log.accounts), dtype=np.int32))
        assert int(found.forward.sum()) == many, name


def test_in_any_part_of_a_request() -> None:
    text = prose(random.Random(7), 150)
    for column in ("prompt", "system", "earlier"):
        world = Exchanges(5)
        world.ask(A, 1, "what is it", text)
        world.ask(B, 2, **{"prompt": "go on", column: f"earlier: {text}"}, answer="ok")
        log = world.log()
        found = echoes(log, np.arange(2, dtype=np.int32))
        assert found.forward.tolist() == [True], column
        assert found.passages[0] >= LEAST_PASSAGES


@pytest.mark.slow
def test_a_rival_cannot_frame_who_was_not_answered_and_hardly_who_was() -> None:
    """A pool quotes everything that a bystander published: the bystander is not tied."""
    world, _ = honest(30)
    names = pool(world)
    rng = world.rng
    for k in range(20):  # all that the bystander received is public, and every account of the pool uses it
        said = world.ask("bystander", 50 + k, prose(rng, 20))
        world.ask(names[k], 60 + k, f"clean this: {said}")
    log = world.log()
    evidence = echo_evidence(log, [*names, "bystander", "never"], world.tenant(log))
    assert evidence is not None
    code = {name: k for k, name in enumerate(log.accounts)}
    assert code["bystander"] not in evidence.tied  # no answer passed to the bystander
    assert all(code["bystander"] != e.quoted_by for e in evidence.echoes)


def test_the_order_of_the_rows_does_not_matter() -> None:
    world = Exchanges(8)
    names = pool(world, 8, 8)
    log = world.log()
    random.Random(1).shuffle(world.rows)
    assert echo_evidence(world.log(), names) == echo_evidence(log, names)


# --- in a scan's results


@pytest.mark.slow
def test_the_clue_ties_and_makes_nobody_firm() -> None:
    world, groups = honest(31, people=60)
    names = pool(world)
    log = world.log()
    code = {name: k for k, name in enumerate(log.accounts)}
    nothing = np.zeros(0, np.int64)
    stage = ActorContext(log, known_of(log, []), nothing, nothing, nothing, nothing, world.tenant(log))
    for members, speaks in ((names, True), (groups["strangers"], False), (groups["vendor"], False)):
        accounts = np.array(sorted(code[n] for n in members), np.int32)
        weighed = clue.weigh(Actor(accounts, stage.rows_of(accounts), nothing, {}), stage)
        assert (weighed is not None) == speaks, members[0]
        if weighed is not None:
            assert weighed.bits > 6
            assert not any(tie.firm for tie in weighed.ties)
            assert {log.accounts[t.account] for t in weighed.ties} <= set(names)


def test_a_leads_echoes_are_written_read_and_explained(tmp_path) -> None:
    at = datetime(2026, 3, 4, tzinfo=UTC)
    pair = Echo("acct-a", at, "acct-b", at + timedelta(hours=3), 5)
    lead = Lead("lead-1", at, 1e-4, ("acct-a", "acct-b", "acct-c"), 9, "open", "why", (pair,))
    verdicts = tuple(AccountVerdict(name, None, None, None) for name in ("acct-a", "acct-b", "acct-c"))
    result = ScanResult(
        "1",
        ScanTotals(9, 3, at, at, 0, 0.0),
        (),
        verdicts,
        leads=(lead, replace(lead, id="lead-2", echoes=())),
    )
    assert "echoes" not in findings_json(result)["leads"][1]
    write(result, tmp_path)
    again = load(tmp_path)
    assert again.leads == result.leads
    for subject, told in (("lead-1", True), ("acct-b", True), ("acct-c", False)):
        made = console()
        print_explanation(explain(again, subject), made)
        assert ("5 passages" in printed(made)) == told, subject
