"""The time that reading a log may spend on documents, and its division among accounts."""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stillwatch.api.scanning import scan
from stillwatch.exchanges import document_process
from stillwatch.exchanges.documents import DocumentBudget, DocumentReader, DocumentText
from stillwatch.exchanges.read import Limits, Rejects, read
from stillwatch.report.losses import losses
from stillwatch.scan.inspect import inspect
from test_documents import HOSTILE, KINDS, docx, user

Line = Callable[[str, int, str], dict[str, object]]
AT = "2026-03-02T09:12:00Z"


class Costly(DocumentReader):
    """Takes one CPU second per document, and returns READ."""

    def _ask(self, raw: bytes) -> DocumentText:
        self.cpu_s += 1.0
        return DocumentText("READ", "")


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Costly]:
    made = Costly()
    monkeypatch.setattr("stillwatch.exchanges.request_text.READER", made)
    yield made
    made.close()


class Timed(DocumentReader):
    """Reports for each document: elapsed seconds, CPU seconds so far, and why it was not read."""

    def __init__(self) -> None:
        super().__init__()
        self.took: list[tuple[float, float, str]] = []

    def _ask(self, raw: bytes) -> DocumentText:
        begun = time.monotonic()
        text = super()._ask(raw)
        self.took.append((round(time.monotonic() - begun, 1), round(self.cpu_s, 2), text.unread))
        return text


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Timed]:
    made = Timed()
    monkeypatch.setattr("stillwatch.exchanges.request_text.READER", made)
    yield made
    made.close()


def document(data: str) -> list[dict[str, object]]:
    return user({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}"}})


def pair(account: str, n: int, data: str) -> dict[str, object]:
    return {"time": AT, "account": account, "request": {"model": "m", "messages": document(data)},
            "response": {"id": f"c{account}{n}"}}  # fmt: skip


def bedrock(account: str, n: int, data: str) -> dict[str, object]:
    part = {"document": {"format": "pdf", "name": "d", "source": {"bytes": data}}}
    body = {"messages": [{"role": "user", "content": [part]}]}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": AT,
        "accountId": "1",
        "identity": {"arn": f"arn:aws:iam::1:user/{account}"},
        "requestId": f"{account}{n}",
        "operation": "Converse",
        "modelId": "m",
        "input": {"inputBodyJson": body, "inputTokenCount": 1},
        "output": {"outputBodyJson": {}, "outputTokenCount": 1},
    }


def trace(account: str, n: int, data: str) -> dict[str, object]:
    """Langfuse's, without generations: it becomes a row only at the end of the log."""
    nothing = dict.fromkeys(("release", "version", "sessionId"))
    return nothing | {
        "id": f"{account}-{n:03}",
        "timestamp": AT,
        "name": "t",
        "userId": account,
        "projectId": "p",
        "input": {"messages": document(data)},
        "output": "ok",
        "metadata": {},
        "tags": [],
        "public": False,
        "bookmarked": False,
    }


def spans(account: str, n: int, data: str) -> dict[str, object]:
    """OpenTelemetry's: two accounts in one object, the first without a document."""
    blob = {"type": "blob", "mime_type": "application/pdf", "content": data}
    text = {"type": "text", "content": "Hello, who is there?"}

    def span(who: str, parts: list[dict[str, str]], k: int) -> dict[str, object]:
        found = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "account.id": who,
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}]),
        }
        return {
            "traceId": f"{n:032x}",
            "spanId": f"{n * 2 + k:016x}",
            "name": "chat m",
            "startTimeUnixNano": "1772442720000000000",
            "endTimeUnixNano": "1772442721000000000",
            "attributes": [{"key": key, "value": {"stringValue": said}} for key, said in found.items()],
        }

    both = [span("bystander", [text], 0), span(account, [text, blob], 1)]
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": both}]}]}


def log_of(path: Path, line: Line, asked: list[str]) -> Path:
    """A log in which each of `asked` is a document of an account, all different."""
    with path.open("w") as file:
        for n, account in enumerate(asked):
            data = base64.b64encode(b"%PDF-1.7 " + f"{account} {n} ".encode() * 9).decode()
            file.write(json.dumps(line(account, n, data)) + "\n")
    return path


def readers_of(path: Path, cpu_s: float) -> tuple[Counter[str], Rejects]:
    """Return how many documents of each account were read."""
    rejects = Rejects()
    found: Counter[str] = Counter()
    for batch in read([path], rejects=rejects, limits=Limits(document_cpu_s=cpu_s)):
        for row in batch.to_pylist():
            found[row["account"].rpartition("/")[2]] += "READ" in (row["prompt"] or "")
    return found, rejects


@pytest.mark.slow
@pytest.mark.parametrize("line", [pair, bedrock, trace, spans])
def test_one_account_s_documents_leave_the_others_theirs(line: Line, tmp_path: Path, costly: Costly) -> None:
    others = [f"zz{n}" for n in range(4)]  # behind it in every order
    log = log_of(tmp_path / "log.jsonl", line, ["drain"] * 300 + others)
    found, rejects = readers_of(log, 100.0)
    assert [found[one] for one in others] == [1] * 4
    assert 50 <= found["drain"] <= 53, "half of the time, for it came first"
    assert costly.cpu_s == found.total() <= 100
    assert rejects.unread_documents == {"budget": 300 - found["drain"]}


@pytest.mark.slow
def test_every_account_that_takes_what_it_may_leaves_some(tmp_path: Path, costly: Costly) -> None:
    many = [f"drain{n}" for n in range(30) for _ in range(100)]
    found, rejects = readers_of(log_of(tmp_path / "log.jsonl", pair, [*many, "late"]), 500.0)
    assert found["late"] == 1
    assert found.total() <= 500
    assert rejects.unread_documents["budget"] == 3_001 - found.total()
    assert found["drain29"] >= 1


def test_a_budget_that_nobody_needs_is_one_account_s(tmp_path: Path, costly: Costly) -> None:
    found, rejects = readers_of(log_of(tmp_path / "log.jsonl", pair, ["a"] * 40), 100.0)
    assert (found["a"], rejects.unread_documents) == (40, {})


def test_a_document_that_was_read_before_costs_no_more(tmp_path: Path, costly: Costly) -> None:
    log = tmp_path / "log.jsonl"
    data = base64.b64encode(KINDS["pdf"]).decode()
    log.write_text("\n".join(json.dumps(pair("a", n, data)) for n in range(50)))
    found, rejects = readers_of(log, 4.0)
    assert (found["a"], rejects.unread_documents, costly.cpu_s) == (50, {}, 1.0)


@pytest.mark.slow
def test_no_time_reads_none_and_the_report_says_so(tmp_path: Path, costly: Costly) -> None:
    found, rejects = readers_of(log := log_of(tmp_path / "log.jsonl", pair, ["a", "b"]), 0.0)
    assert (found.total(), rejects.unread_documents) == (0, {"budget": 2})
    (said,) = losses(rejects, 2)
    assert "2 beyond the CPU time" in said
    assert "--document-cpu" in said
    assert "2 beyond the CPU time" in " ".join(scan([log], document_cpu_s=0.0).scan.cannot_claim)
    assert not inspect([log]).notes, "at its own default all are read"


def test_a_budget_never_goes_beyond_its_last_document() -> None:
    budget = DocumentBudget(60.0)
    for n in range(10_000):
        if budget.may(account := f"a{n % 7}"):
            budget.pay(account, 10.0)
    assert 30 <= budget.spent_s < 70


def test_an_account_pays_for_cpu_time_and_not_for_a_laden_machine_s_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stalls(_: bytes) -> Iterator[str]:
        yield "first words"
        time.sleep(60)

    monkeypatch.setattr(document_process, "text_of", stalls)
    monkeypatch.setattr(document_process, "MOST_S", 0.5)
    text, why, cpu_s = document_process.read_apart(KINDS["pdf"])
    assert (text, why) == (b"first words", document_process.TOO_LARGE)
    assert cpu_s < 0.4


@pytest.mark.slow
def test_hostile_documents_in_a_log_cost_what_a_scan_gives_them(tmp_path: Path, real: Timed) -> None:
    log, given_s = tmp_path / "log.jsonl", 24.0  # one document may take ten of them
    hostile = HOSTILE["forms in forms"]()
    with log.open("w") as file:
        for n in range(120):
            data = base64.b64encode(hostile + b"%% %d" % n).decode()
            file.write(json.dumps(pair("drain", n, data)) + "\n")
        honest = base64.b64encode(docx("honest words of a customer")).decode()
        file.write(json.dumps(pair("honest", 0, honest)) + "\n")
    rejects = Rejects()
    rows = [
        row
        for batch in read([log], rejects=rejects, limits=Limits(document_cpu_s=given_s))
        for row in batch.to_pylist()
    ]
    assert "honest words" in rows[-1]["prompt"], (rejects.unread_documents, real.took)
    assert given_s / 2 <= real.cpu_s < given_s
    assert rejects.unread_documents["budget"] >= 100
