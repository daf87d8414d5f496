"""The routes of the hooks port: from a whole request to a reply, at once or when its record is durable.

`HookContext` holds their shared objects.
"""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from stillwatch.exchanges.formats import Refused, Row
from stillwatch.exchanges.strict_json import decode
from stillwatch.gateway.hooks import TICKET, HookReply, ReportedRequest, TermsJudgement, litellm, otlp
from stillwatch.gateway.hooks.dialects import (
    JSON,
    DialectRequest,
    answer,
    json_object,
    question,
    refusal,
    way_of,
)
from stillwatch.gateway.hooks.door import NO_TOKEN, header, opener
from stillwatch.gateway.hooks.held_answers import UNTOLD_S, AnswerEnd, HeldAnswers, seconds_of
from stillwatch.gateway.hooks.intake import HookIntake, NotKept, Tally, check_row
from stillwatch.gateway.hooks.joins import Joins
from stillwatch.gateway.hooks.judge import Judge
from stillwatch.gateway.path.amounts import MOST_TOKENS
from stillwatch.gateway.path.batch import is_batch
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.reply import ReplyFacts
from stillwatch.gateway.path.request import BadRequest, inflate
from stillwatch.gateway.path.server import Client, Request
from stillwatch.gateway.record.rows import BODY, BODY_KIND, BODY_TARGET, RECORDED_AS, REQUEST
from stillwatch.terms import Decision, Step
from stillwatch.terms.decide import step_now

RETRY_S = 2
MOST_STANDINGS = 50_000  # in one answer of /bans
MOST_NAMES = 10_000
AT_ONCE = 200  # names or ended answers, before other requests get their turn
LONGEST_REASON = 300
MOST_EXCHANGES = 1 << 40  # of a gap: counters have 63 bits
ENDED = re.compile(
    rb"stream=([\w-]{1,80}) answer=([\w-]{1,4096}) status=(\d{1,3}) sent=(\d{1,15}) "
    rb"events=(\d{1,12}|-) comes=(yes|-)"
)
STREAM = b"x-stillwatch-stream"  # Envoy's name of the request


@dataclass
class HookContext:
    """The objects shared by all requests of this process."""

    gate: Gate
    judge: Judge
    intake: HookIntake
    joins: Joins
    held: HeldAnswers
    tally: Tally
    reading: asyncio.Semaphore  # limits batches that are parsed at the same time

    def numbered(self, reported: ReportedRequest) -> ReportedRequest:
        """Add the account's place in the budgets, if it was registered here."""
        number = self.intake.numbers.get(reported.account) if reported.number is None else None
        return reported if number is None else replace(reported, number=number)


def respond(world: HookContext, client: Client, request: Request) -> HookReply | Awaitable[HookReply]:
    """Answer a request. Raises: BadRequest, NotKept."""
    path = request.target.partition("?")[0]
    decides = path == "/decide" or path.startswith(("/decide/", "/decide;"))
    now_us = world.gate.now_us()
    entry = opener(world.gate, request, now_us, alone=decides)
    if entry is not None:
        client.prove()
        world.held.note_connection(entry.key_id, client, checks=path == "/health")
    if path == "/health":
        return _health(world)
    if entry is None:
        world.tally.unauthorised += 1
        raise BadRequest(401, "invalid_hook_key", NO_TOKEN)
    if decides:
        return _decide(world, client, request, entry.key_id, now_us)
    if path == "/answers/ended":
        return _ended(world, request, entry.key_id)
    if path not in ROUTES:
        raise BadRequest(404, "not_found", f"no such path; there are /decide, {', '.join(ROUTES)}")
    if request.method != "POST":
        raise BadRequest(405, "bad_method", f"{path} takes POST")
    return ROUTES[path](world, request)


def _health(world: HookContext) -> HookReply:
    health = {"ok": world.gate.capture_error is None, "terms_version": world.gate.terms.version}
    return HookReply(200, msgspec.json.encode(health), (JSON,))


# --- decisions ---------------------------------------------------------------------------------------------


def _decide(
    world: HookContext, client: Client, request: Request, hook: str, now_us: int
) -> HookReply | Awaitable[HookReply]:
    gate, tally = world.gate, world.tally
    way = way_of(request.target)
    longest_s = seconds_of(way.options)
    tally.decisions += 1
    try:
        dialect_request = question(gate, client, way, request, now_us)
    except BadRequest as why:
        tally.refused += 1
        return refusal(way.dialect, "chat", Decision(False, why.code, why.status, why.code, why.message))
    who = world.numbered(dialect_request.asked)
    if dialect_request.served is not None:
        judged = world.judge.reply(who, dialect_request.served, now_us)
    else:
        judged = world.judge.request(who, now_us, count=dialect_request.counts)
    tally.refused += not judged.decision.allow
    tells = way.options.get("answers") == "yes"
    ticket = world.held.hold(who, judged.charge, hook if tells else "", longest_s, now_us)
    with world.held.unless_it_fails(ticket):
        if ticket and (stream := header(request, STREAM)) is not None:
            world.held.name_stream(ticket, hook, stream.decode("latin-1"))
        reply = replace(answer(way, who, judged, ticket if tells else ""), answer=ticket)
    if way.options.get("capture") == "yes" and dialect_request.request is not None:
        return _capture(world, dialect_request, judged, reply, now_us)
    return reply


async def _capture(
    world: HookContext, dialect_request: DialectRequest, judged: TermsJudgement, reply: HookReply, now_us: int
) -> HookReply:
    """Record a request before it is answered. Its end is never reported."""
    with world.held.unless_it_fails(reply.answer):
        try:
            await world.intake.keep([_shown_row(world, dialect_request, judged, now_us)], "decide")
        except NotKept:
            if world.gate.terms.capture.on_failure != "serve":
                why = "Exchanges cannot be recorded now. Try again soon."
                if reply.answer:
                    world.held.let_go(reply.answer)
                operation = dialect_request.asked.operation
                return refusal("envoy", operation, Decision(False, "capture", 503, "capture_failed", why, 5))
    return reply


def _shown_row(
    world: HookContext, dialect_request: DialectRequest, judged: TermsJudgement, now_us: int
) -> Row:
    """Return the row of a request that a gateway shows. Raises: BadRequest, Refused."""
    who, request, decision = dialect_request.asked, dialect_request.request, judged.decision
    assert request is not None
    row: Row = {}
    if decision.allow and request.body:  # no body of a refused request is kept: it must not fill the disk
        row = _unread_body(open_body(world, request), request)  # the recorder parses it
    agent = header(request, b"user-agent")
    row |= {
        "time": now_us,
        "account": who.account,
        "end_user": who.end_user,
        "client_ip": dialect_request.address,
        "user_agent": agent.decode("utf-8", "replace") if agent else None,
        "operation": RECORDED_AS.get(who.operation, who.operation),
        "model": who.models[0] if who.models else None,
        "status": None if decision.allow else decision.status,
        "outcome": "unknown" if decision.allow else "refused",
        "rule": decision.rule,
        "key_id": who.key_id,
        "family": judged.verdict.family,
    }
    row["exchange_id"] = f"hook-{world.gate.number():x}"
    return check_row(row, now_us)


def _unread_body(body: bytes, request: Request) -> Row:
    """Return a request's body as stored in its row: JSON unchanged; a form, an upload or a batch as bytes."""
    if not is_batch(body):
        with suppress(Refused):
            document = decode(body)
            if isinstance(document, dict):
                return {REQUEST: document}
    kind = (header(request, b"content-type") or b"").lower().decode("latin-1")
    return {BODY: base64.b64encode(body).decode("ascii"), BODY_KIND: kind, BODY_TARGET: request.target}


async def _bans(world: HookContext, request: Request) -> HookReply:
    """Return which of a gateway's model names are banned, for use when it cannot reach us."""
    gate, body = world.gate, json_object(request.body)
    now_us = gate.now_us()
    verdicts: dict[str, dict[str, str]] = {"models": {}, "hosts": {}}
    for kind in verdicts:
        names = body.get(kind) or []
        if not isinstance(names, list) or len(names) > MOST_NAMES:
            raise BadRequest(400, "bad_request", f"{kind} must be a list of at most {MOST_NAMES:,} names")
        for k, name in enumerate(names):
            if k % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            if not isinstance(name, str):
                raise BadRequest(400, "bad_request", f"{kind} must be texts")
            only = (name,)
            reported = (
                ReportedRequest("", models=only)
                if kind == "models"
                else ReportedRequest("", hosts=only, blind=True)
            )
            verdict = world.judge.verdict(reported, now_us)
            if not verdict.allow:
                verdicts[kind][name] = verdict.reason
    closed = [
        account
        for account, standing in gate.tables.standings.items()
        if step_now(standing, now_us) in (Step.BLOCK, Step.VERIFY)
    ]
    terms = gate.terms
    answer = {
        **verdicts,
        "in_force": any(ban.prevent for ban in terms.bans) or bool(terms.models.allow),
        "blocked": closed[:MOST_STANDINGS],
        "message": terms.ladder.messages.block,
        "hide": terms.models.hide_banned,
        "version": terms.version,
    }
    return HookReply(200, msgspec.json.encode(answer), (JSON,))


def _guardrail(world: HookContext, request: Request) -> HookReply:
    reported, count = litellm.guardrail_request(json_object(request.body))
    who, now_us = world.numbered(reported), world.gate.now_us()
    judged = world.judge.request(who, now_us, count=count)
    world.tally.decisions += 1
    world.tally.refused += not judged.decision.allow
    ticket = world.held.hold(who, judged.charge, "", UNTOLD_S, now_us)
    return replace(litellm.guardrail_reply(judged.decision), answer=ticket)


# --- what comes in -----------------------------------------------------------------------------------------


async def _litellm_logs(world: HookContext, request: Request) -> HookReply:
    body = open_body(world, request)
    now_us = world.gate.now_us()
    async with world.reading:
        rows, dead = await world.gate.loop.run_in_executor(None, _litellm_rows, body, now_us)
    for why, raw in dead:
        world.intake.dead("litellm", why, raw)
    written = await world.intake.keep(rows, "litellm")
    counts = {"kept": written, "known": len(rows) - written, "refused": len(dead)}
    return HookReply(200, msgspec.json.encode(counts), (JSON,))


def _litellm_rows(body: bytes, now_us: int) -> tuple[list[Row], list[tuple[str, bytes]]]:
    rows: list[Row] = []
    dead: list[tuple[str, bytes]] = []
    for raw, record in litellm.records(body):
        if isinstance(record, Refused):
            dead.append((str(record), raw))
            continue
        try:
            rows.extend(litellm.rows(record, now_us))
        except Exception as why:  # noqa: BLE001 - one poisoned record must not lose the batch
            problem = str(why) if isinstance(why, Refused) else f"{type(why).__name__} while it was read"
            dead.append((problem, raw or repr(record).encode()))
    return rows, dead


async def _gaps(world: HookContext, request: Request) -> HookReply:
    """Record exchanges that a sender saw and could not report."""
    body = json_object(request.body)
    reason = body.get("reason")
    numbers = [body.get(name) for name in ("from_us", "until_us", "exchanges")]
    if not all(type(value) is int and 0 <= value < 1 << 62 for value in numbers):
        raise BadRequest(400, "bad_gap", "from_us, until_us and exchanges must be whole numbers")
    from_us, until_us, exchanges = (int(value) for value in numbers)  # type: ignore[call-overload]
    until_us = min(until_us, world.gate.now_us())  # a clock that is ahead: no gap lies in the future
    from_us, exchanges = min(from_us, until_us), min(exchanges, MOST_EXCHANGES)
    await world.intake.gap(from_us, until_us, exchanges, str(reason)[:LONGEST_REASON])
    return HookReply(200, b"{}", (JSON,))


async def _otlp(world: HookContext, request: Request) -> HookReply:
    """Accept spans or log records. Omissions are reported as OTLP demands: as a partial success."""
    kind = (header(request, b"content-type") or b"").lower().partition(b";")[0].strip().decode("latin-1")
    logs = request.target.startswith("/v1/logs")
    if kind not in otlp.KINDS:
        raise BadRequest(415, "bad_type", f"content-type must be one of {', '.join(otlp.KINDS)}")
    body = open_body(world, request)
    now_us = world.gate.now_us()
    async with world.reading:
        batch = await world.gate.loop.run_in_executor(None, otlp.read, kind, body, now_us)
    for why in batch.refused:
        world.intake.dead("otlp", why, body)
    rows, refused, keys = await world.joins.take(batch, now_us)
    for why in refused:
        world.intake.dead("otlp", why, body)
    await world.intake.keep(rows, "otlp")
    world.joins.forget(keys)
    return otlp.intake_reply(kind, logs, [*batch.refused, *refused])


# --- answers on their way -----------------------------------------------------------------------------------


def _answers(world: HookContext, request: Request) -> HookReply:
    """Settle an answer: by its body as Envoy saw it, or by another gateway's count."""
    text = header(request, TICKET)
    if text is not None:
        status, kind = header(request, b"x-stillwatch-status") or b"", header(request, b"content-type") or b""
        if not re.fullmatch(rb"\d{1,3}", status):
            raise BadRequest(400, "bad_answer", "x-stillwatch-status must be the status of the answer")
        world.held.read(text.decode("latin-1"), int(status), kind.lower(), open_body(world, request))
        return HookReply(200, b"{}", (JSON,))
    fields = json_object(request.body)
    ticket, tokens, model = fields.get("answer"), fields.get("output_tokens"), fields.get("model")
    if not isinstance(ticket, str) or type(tokens) is not int or not 0 <= tokens < MOST_TOKENS:
        raise BadRequest(400, "bad_answer", "give answer, the ticket, and output_tokens, a whole number")
    world.held.settle(ticket, ReplyFacts(model if isinstance(model, str) else None, output_tokens=tokens))
    return HookReply(200, b"{}", (JSON,))


async def _ended(world: HookContext, request: Request, hook: str) -> HookReply:
    """Accept Envoy's log of ended exchanges: OTLP, whose protobuf stores texts unchanged."""
    for k, line in enumerate(ENDED.finditer(request.body)):
        if k % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        stream, ticket, status, sent, events, comes = (part.decode("ascii") for part in line.groups())
        if ticket == "-":
            world.held.let_go_stream(hook, stream)
            continue
        end = AnswerEnd(int(status), int(sent), int(events) if events.isdigit() else None, comes == "yes")
        with suppress(BadRequest):  # of another gateway of theirs: the others count
            world.held.note_end(ticket, end)
    return HookReply(200, b"", ((b"content-type", b"application/x-protobuf"),))


def open_body(world: HookContext, request: Request) -> bytes:
    """Return a body, decompressed up to the policy's limit. Raises: BadRequest."""
    coding = (header(request, b"content-encoding") or b"").strip().lower().decode("latin-1")
    limit = world.gate.terms.capture.max_body_bytes
    return request.body if coding in ("", "identity") else inflate(request.body, coding, limit)


ROUTES: dict[str, Callable[[HookContext, Request], HookReply | Awaitable[HookReply]]] = {
    "/answers": _answers,
    "/bans": _bans,
    "/beta/litellm_basic_guardrail_api": _guardrail,
    "/litellm/logs": _litellm_logs,
    "/gaps": _gaps,
    "/v1/traces": _otlp,
    "/v1/logs": _otlp,
}
