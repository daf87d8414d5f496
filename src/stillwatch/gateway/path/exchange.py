"""One exchange, from a whole request to its outcome on the disk.

The order is guaranteed: decided, durable, forwarded, delivered, noted. It waits only for disk and upstream.
"""

import logging
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from stillwatch.exchanges.operations import ANSWER
from stillwatch.gateway import logs
from stillwatch.gateway.control.owners import OwnersError
from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.histograms import DURATION, FIRST_TOKEN
from stillwatch.gateway.logs import traceparent
from stillwatch.gateway.path.admission import admit, refusal_since
from stillwatch.gateway.path.answers import REASONS, error_body, error_event, error_headers, safe
from stillwatch.gateway.path.body_addresses import FIELDS, turn_body
from stillwatch.gateway.path.caller import Caller, caller, upstream_head
from stillwatch.gateway.path.charge import Charge
from stillwatch.gateway.path.coins import Draw, Who, second
from stillwatch.gateway.path.forwarding import refuse_links, refuse_unseen
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.handed_out import SEAL, SEALED, ElsewhereError, on_this_gateway, piece_of
from stillwatch.gateway.path.object_access import EMPTY_LIST, ObjectAccess
from stillwatch.gateway.path.passing import (
    CONTENT_TYPES,
    COUNTED,
    NO_TYPE,
    ContentType,
    Events,
    Lines,
    MadeInStream,
    Plain,
    Refusal,
    Whole,
    is_listing,
)
from stillwatch.gateway.path.reply import ReplyFacts, unread_facts
from stillwatch.gateway.path.request import BadRequest, Facts, read
from stillwatch.gateway.path.routes import Route
from stillwatch.gateway.path.server import Client, Request
from stillwatch.gateway.path.upstream import (
    CONNECTION,
    CONTENT_CODING,
    CONTENT_TYPE,
    HOP,
    LENGTH,
    LOCATION,
    PASSED,
    REPLY_HEADERS,
    SET_BY_US,
    Connection,
    Header,
)
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent, exchange_id, pack
from stillwatch.gateway.record.wal import INTENT, OUTCOME, PART, frame
from stillwatch.terms import Decision, ModelVerdict
from stillwatch.terms.hops import LONGEST_MODEL

PART_BYTES = 32 << 10
# operations that a coin may send twice
TWICE = frozenset(("chat", "completions", "responses", "messages"))
MOST_NOTED_BODY = 64 << 10  # bytes; of a longer refused request the text is not noted
LEFT = 499  # nginx's status for a client that closed the connection
_ANSWERED, _BYTES_IN, _CLIENT_LEFT = PLACE["answered"], PLACE["bytes_in"], PLACE["client_left"]
_CUT_MODEL, _IN_FLIGHT = PLACE["cut_model"], PLACE["in_flight"]
_MARKED, _MODEL_MISMATCH = PLACE["marked"], PLACE["model_mismatch"]
_REFUSED_BODY = PLACE["refused_body"]
_REFUSED_CAPTURE = PLACE["refused_capture"]
_REFUSED_KEY = PLACE["refused_key"]
_REFUSED_TERMS, _REQUESTS, _STREAMS = PLACE["refused_terms"], PLACE["requests"], PLACE["streams"]
_UPSTREAM_ERRORS = PLACE["upstream_errors"]
OWNER_WAIT_US = 1_000_000  # how long a gateway of a fleet waits to learn who owns an object
OWNER_AGAIN_S = 0.05


class Exchange:
    """One request and its reply."""

    # Defaults that most exchanges never change: setting them on each would cost a twentieth of its time.
    number = 0  # 0: not captured
    facts = Facts("other")
    asked = ""  # the requested model
    caller: Caller | None = None
    route: Route | None = None
    decision = Decision(False, "undecided")
    connection: Connection | None = None
    over = False
    hands_out = ""
    comes_later = strip = budgeted = False  # what a body reads of it: see `passing.Recipient`
    delivered = status = 0
    trace = ""  # W3C's traceparent
    _piece: tuple[int, bool] | None = None  # of an upload that continues
    _body: Plain | Whole | Lines | Events | Refusal | None = None
    _headed = False  # the reply's head was sent to the client
    _kept_size = 0
    _keep_text = _keep_reply = False
    _charge: Charge | None = None  # None: the request could not be read
    _retried = False
    _warn: str | None = None
    _name = ""  # of the answering model
    _facts: ReplyFacts | None = None
    _served_name: str | None = None  # of a reply that was ended because of it
    _draw: Draw | None = None  # the coin, if this exchange gets two answers
    _objects: ObjectAccess | None = None  # which stored objects it may access
    _code = ""  # of a refusal
    _is_media = False  # the reply has no text
    _part: str | None = None  # of an upload in parts: the upstream's id for this one

    def __init__(self, gate: Gate, client: Client, request: Request) -> None:
        self.gate, self.client, self.request = gate, client, request
        self.began_us, self._running_us = gate.now_us(), gate.running_us()
        match = gate.operations.find(request.method, request.target)
        self.operation, self.does = (match.line.name, match.line.does) if match else ("other", "unknown")
        self._kept: list[bytes] = []  # of the reply, if it is kept or sketched
        self._terms, self._tables = gate.terms, gate.tables  # by which it was decided

    # --- the request -----------------------------------------------------------------------------------

    def begin(self) -> None:
        gate, request = self.gate, self.request
        gate.counters[_REQUESTS] += 1
        gate.counters[_BYTES_IN] += len(request.body)
        gate.counters[_IN_FLIGHT] += 1
        try:
            self.caller = caller(gate, self.client, request, self.began_us)
        except BadRequest as why:
            gate.counters[_REFUSED_KEY if why.status == 401 else _REFUSED_BODY] += 1
            self._answer(why.status, why.code, why.message)
            return
        if not self.client.proven:
            self.client.prove()
        if SEAL in request.target and (sealed := SEALED.fullmatch(request.target)):
            request.target, self._piece = sealed[1], piece_of(request)
        self._take_on()

    def _take_on(self) -> None:
        """Read the request, and continue once the owners of the objects that it names are known."""
        gate = self.gate
        if self.over or self.caller is None:  # the client has left
            return
        try:
            self._read()
        except BadRequest as why:
            if why.code == "not_found" and self._may_become_known():
                gate.loop.call_later(OWNER_AGAIN_S, self._take_on)
                return
            gate.counters[_REFUSED_BODY] += 1
            noted = why.status == 404 and gate.is_first_refusal(self.caller.account, self.began_us)
            self._refuse(Decision(False, why.code, why.status, why.code, why.message), noted=noted)
            return
        charge = self._charge
        assert charge is not None
        admission = admit(gate, self.caller, self.facts, charge, len(self.request.body), self.began_us)
        self.decision = decision = admission.decision
        if not decision.allow:
            charge.let_go()
            charge.give_back_batch()
            gate.counters[_REFUSED_TERMS] += 1
            self._refuse(decision, admission.verdict, noted=admission.held and charge.refused_by_hold())
            return
        self.strip, self.budgeted = decision.strip, decision.output_tokens_left is not None
        if charge.held and not self.budgeted:
            charge.let_go()
        charge.count_request()
        if self.facts.background and not self.facts.stream:
            charge.charge_in_full()
        self._warn = decision.warn
        self._write_ahead(admission.verdict)

    def _may_become_known(self) -> bool:
        """Return whether another gateway may just have created an object without having reported it."""
        return bool(self.gate.gateway) and self._took_us() < OWNER_WAIT_US

    def _took_us(self) -> int:
        """Return the time since the request came, whatever the machine's clock did meanwhile."""
        return self.gate.running_us() - self._running_us

    def _read(self) -> None:
        request, who = self.request, self.caller
        assert who is not None
        terms = self.gate.terms
        operations, limit = self.gate.operations, terms.capture.max_body_bytes
        facts = read(request.method, request.target, who.kind, who.coding, request.body, limit, operations)
        self.route = route = self.gate.routes.find(request.method, request.target)
        if route.refusal:
            raise BadRequest(403, "path_not_allowed", route.refusal)
        if facts.hook or facts.batch is not None:
            refuse_unseen(route.match, facts, request.method, request.target)
        if terms.capture.links != "pass":
            refuse_links(terms, route.match, request.body, who.kind, who.coding)
        if who.named:
            facts = replace(facts, models=tuple(dict.fromkeys((*facts.models, *who.named))))
        if route.by_owner:
            facts = replace(facts, references=replace(facts.references, buckets=()))
        self.facts, self.does = facts, facts.does
        self.comes_later = facts.background or route.makes == ANSWER
        self.hands_out = "" if route.by_owner or route.place.kind not in FIELDS else route.place.kind
        self.asked = self.facts.models[0] if self.facts.models else ""
        self._objects = ObjectAccess(self.gate, request, route, who.account, facts, self.began_us)
        self._charge = Charge(self.gate, who.account, who.number, facts, self.began_us)

    def learn(self, body: bytes) -> None:
        """Note the owner of the objects in a whole reply, before the client learns their names."""
        if self.route is not None and self.route.makes == "part":
            with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self._part = _ID.decode(body).id
        if self._objects is not None:
            self._objects.learn(body)

    def turn_body(self, body: bytes) -> bytes:
        return turn_body(body, self.hands_out, self.request, self.gate.pool.target)

    def ask_page(self, target: str) -> None:
        """Request a further page of a list: the reply continues with it."""
        assert self._objects is not None
        self._objects.target, self._retried = target, False
        self._ask()

    def _intent(self, verdict: ModelVerdict | None, rule: str) -> bytes:
        gate, request, who = self.gate, self.request, self.caller
        assert who is not None
        retention = gate.terms.retention
        self._keep_text = retention.text_days > 0
        self._keep_reply = self._keep_text or retention.sketch_answers  # the recorder discards the text
        return pack(
            Intent(
                self.began_us, who.account, who.key_id, who.address, who.agent, self.operation,
                request.target[:512], self.asked[:LONGEST_MODEL] or None, verdict.target if verdict else None,
                verdict.family if verdict else None, rule, who.coding, who.kind, self._keep_text,
                who.end_user, self._piece,
            )
        )  # fmt: skip

    def _refuse(self, decision: Decision, verdict: ModelVerdict | None = None, noted: bool = False) -> None:
        """Answer in place of the upstream. Mostly recorded without its body: bodies could fill the disk.

        `noted`: with it. Whether another account sends the same request is evidence.
        """
        gate, body = self.gate, self.request.body
        body = body if noted and len(body) <= MOST_NOTED_BODY else b""
        if gate.overloaded():
            gate.uncaptured(1, "more waits for the disk than may")
        else:
            self.number = gate.number()
            gate.note(frame(INTENT, self.number, self._intent(verdict, decision.rule), body))
        self._answer(decision.status, decision.code, decision.message, decision.retry_after_s, "refused")

    def _write_ahead(self, verdict: ModelVerdict) -> None:
        gate = self.gate
        if gate.overloaded():
            gate.uncaptured(1, "more waits for the disk than may")
            self.on_not_durable()
            return
        self.number = gate.number()
        data = frame(INTENT, self.number, self._intent(verdict, self.decision.rule), self.request.body)
        gate.log.append(data, self)

    def on_durable(self) -> None:
        if self.over:
            return
        self._forward()

    def on_not_durable(self) -> None:
        """Note the gap when the disk refused the record; serve or refuse, as the policy says."""
        self.number = 0
        if self.over:
            return
        if self.gate.terms.capture.on_failure == "serve":
            self._forward()
            return
        self.gate.counters[_REFUSED_CAPTURE] += 1
        self._answer(503, "capture_failed", "The gateway cannot record exchanges now. Try again soon.", 5)

    # --- upstream --------------------------------------------------------------------------------------

    def _forward(self) -> None:
        if not self.still_allowed():
            return
        if self._objects is not None and self._objects.owns_nothing:
            self.on_head(200, b"OK", [(b"content-type", b"application/json")])
            self.on_data(EMPTY_LIST)
            self.on_end()
            return
        draw = None
        if self.gate.coins is not None and self.gate.coins.on and not self._retried:
            draw = self._draw = self._coin()
        if draw is not None and draw.served == 1:  # the other one is requested first
            draw.ask_other(*self._request_bytes(0))
        self._ask()
        if draw is not None and draw.served == 0:
            draw.ask_other(*self._request_bytes(1))

    def _ask(self) -> None:
        connection = None if self._retried else self.gate.pool.idle()
        if connection is None:
            self.gate.pool.connect(self._on_connected)
        else:
            self._send(connection)

    def _coin(self) -> Draw | None:
        """Throw the coin if the policy wants one for this exchange and the request may be sent twice."""
        gate, who, coins = self.gate, self.caller, self.gate.coins
        assert who is not None
        assert coins is not None
        if not self.number or self.operation not in TWICE or self.request.method != "POST" or who.coding:
            return None
        standing = gate.tables.standings.get(who.account)
        exchange = exchange_id(gate.worker, self.number, gate.gateway)
        return coins.throw(
            Who(who.account, who.org, standing, exchange, self.asked[:LONGEST_MODEL]),
            self.facts,
            self.request.body,
        )

    def _on_connected(self, connection: Connection | None, why: str) -> None:
        if self.over:
            if connection is not None:
                self.gate.pool.take_back(connection)
            self._leave("its client left before it was asked for")
        elif connection is None:
            self._upstream_error(502, "upstream_unreachable", why)
        else:
            connection.reused = False
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        self.connection = connection
        if self.decision.mark:
            self.gate.counters[_MARKED] += 1
        slot = self._draw.served if self._draw is not None else 0
        connection.send(*self._request_bytes(slot), self, head_only=self.request.method == "HEAD")

    def _request_bytes(self, slot: int) -> tuple[bytes, bytes]:
        """Return the head and the body that go upstream, for the first answer or for a second one."""
        request, who, route = self.request, self.caller, self.route
        assert who is not None
        assert route is not None
        body = request.body
        if self.facts.stream and self._asks_usage():
            body = b'{"stream_options":{"include_usage":true},' + body.lstrip()[1:]
        start, target = route.start, None if self._objects is None else self._objects.target
        if target is not None:
            start = self.gate.routes.start(request.method, target)
        head = upstream_head(request, who, body, self.decision.mark, start)
        return (second(head) if slot else head), body

    def _asks_usage(self) -> bool:
        facts, who = self.facts, self.caller
        assert who is not None
        return (
            self.gate.terms.capture.ask_usage
            and facts.is_json
            and not facts.usage_asked
            and not who.coding
            and facts.operation in ("chat", "completions")
        )

    def on_lost(self, why: str, untouched: bool) -> None:
        """Handle a lost upstream. If a reused connection closed during the write, try a new one, once."""
        self.connection = None
        if untouched and not self._retried:
            self._retried = True
            self._forward()
            return
        self._upstream_error(504 if "nothing for" in why else 502, "upstream_error", why)

    def _upstream_error(self, status: int, code: str, why: str) -> None:
        self.gate.counters[_UPSTREAM_ERRORS] += 1
        if not self._headed:
            self._answer(status, code, f"{why[0].upper()}{why[1:]}.", None, "upstream_error")
            return
        self._finish_facts(False)
        self._end("upstream_error")
        self.client.cut()

    # --- the reply -------------------------------------------------------------------------------------

    def on_head(self, status: int, reason: bytes, headers: list[Header]) -> None:
        gate, objects = self.gate, self._objects
        if self._body is not None:  # a further page of a list
            if status // 100 != 2:
                self.fail("upstream_error", "the upstream refused a further page of the list")
            return
        self.status, self._reason = status, reason
        if self._draw is not None:
            self._draw.mine.on_head(status, reason, headers)
        content = self._read_headers(status, headers)
        if content is None:
            return
        kind, coding = content
        self._body = Plain(self)
        if status in (401, 403) and gate.terms.identity.keys != "upstream":
            self._on_refusal(status, coding)
            return
        self._headers += self._ids()
        if self._warn:
            self._headers.append((b"x-stillwatch-warning", safe(self._warn)))
        if status // 100 != 2 or status == 204 or self.request.method == "HEAD":
            return
        self._is_media = kind.is_media
        looked_into = self.does in COUNTED or self.operation == "models"
        listing = None if objects is None else objects.listing
        if listing is not None and is_listing(listing, kind):
            if coding not in (b"", b"identity"):
                self.fail("upstream_encoding", "the upstream's reply is compressed, unasked")
            else:
                self._body = Whole(self, looked_into, listing)
        elif coding not in (b"", b"identity"):
            if (looked_into or kind.is_json) and (self.strip or gate.terms.bans or self.budgeted):
                self.fail("upstream_encoding", "the upstream's reply is compressed, unasked")
        elif kind.is_events or (kind.is_json_lines and self.does in COUNTED):
            names = None if objects is None else objects.reply_names
            learns = None if objects is None or names is None else MadeInStream(objects.note, *names)
            self._body = Events(self, learns, lines=b"event-stream" not in kind.name)
            if self._draw is None:
                self.on_data = self._body.feed  # type: ignore[method-assign] # saves a call per chunk
            gate.counters[_STREAMS] += 1
        elif (looked_into and not kind.is_media) or kind.is_json:
            self._body = Whole(self, looked_into)
        elif kind.is_lines and (gate.terms.bans or self.strip or self.does == "fetches"):
            self._body = Lines(self, b"ndjson" in kind.name)

    def _read_headers(self, status: int, headers: list[Header]) -> tuple[ContentType, bytes] | None:
        """Collect the headers to pass on; return the type of the content, or None if it is refused."""
        objects, kind, coding = self._objects, NO_TYPE, b""
        passed: list[Header] = []
        named: set[bytes] = set()  # hop by hop, according to the upstream
        bare = status in (204, 304) or self.request.method == "HEAD"
        self._length = None
        for pair in headers:
            name, value = pair
            role = REPLY_HEADERS[name]
            if role == PASSED and b"//" not in value:
                passed.append(pair)
                continue
            if role == SET_BY_US:
                continue
            turned = self._turn(pair) if b"//" in value else pair
            if turned is None:
                return None
            # without a body, the length is that of the omitted body
            if role < LENGTH or (role == LENGTH and bare and status != 204):
                passed.append(turned)
            if role == CONTENT_TYPE:
                kind = CONTENT_TYPES[value]
            elif role == CONTENT_CODING:
                coding = value.lower().strip()
            elif role == LENGTH:
                self._length = int(value) if value.isdigit() else None
            elif role == CONNECTION:
                named.update(part.strip().lower() for part in value.split(b","))
            elif role == LOCATION and status // 100 == 2 and objects is not None:
                objects.learn_location(value)
        if named:
            passed = [pair for pair in passed if pair[0].lower() not in named or pair[0].lower() in HOP]
        self._headers = passed
        return kind, coding

    def _turn(self, header: Header) -> Header | None:
        """Rewrite a header's address to this gateway's; None if the reply is refused for it."""
        gate, who = self.gate, self.caller
        assert who is not None
        holder = who.key_id or who.account
        try:
            turned, uploads = on_this_gateway(
                header, self.status, self.request, gate.pool.target, holder, gate.secret
            )
        except ElsewhereError as where:
            if self.route is not None and self.route.by_owner:
                return header
            self.fail("upstream_elsewhere", f"the upstream sends its client past this gateway, to {where}")
            return None
        if uploads and self._objects is not None:
            self._objects.learn_uploads(uploads)
        return turned

    def _on_refusal(self, status: int, coding: bytes) -> None:
        """Handle a refusal by the upstream: of the gateway's key, or of the request."""
        key = self.gate.upstream_key
        if status == 401 or key is None or coding not in (b"", b"identity"):
            had = "refused the gateway's own key" if key else "wants a key: the gateway has none"
            self.fail("upstream_auth", f"the upstream {had}")
        else:
            self._body = Refusal(self, key.encode("latin-1"))

    def on_data(self, data: bytes) -> None:
        if self._draw is not None:
            self._draw.mine.on_data(data)
        if self._body is not None:
            self._body.feed(data)

    def on_end(self) -> None:
        """Finish after the upstream's whole reply."""
        self.connection = None
        if self._draw is not None:
            self._draw.mine.on_end()
        if self.over or self._body is None or not self._body.end():
            return
        if self.request.method == "DELETE" and self.status // 100 == 2 and self._objects is not None:
            self._objects.forget()
        client = self.client
        self._finish_facts(True)
        if not self._headed:  # a reply without a body
            self._headed = True
            length = self._length if self.request.method == "HEAD" else 0
            client.send(client.head(self.status, self._reason, self._headers, length))
        elif client.last:
            client.send(client.last)
        self._end("complete")
        client.done()

    # --- what a body asks of its exchange (passing.Recipient) ---------------------------------------------

    def left(self) -> float:
        """Return the output tokens that the account has left now, over all its streams."""
        assert self._charge is not None
        return (self.decision.output_tokens_left or 0) - self._charge.used_since()

    def charge(self, tokens: int) -> None:
        assert self._charge is not None
        self._charge.add(tokens)

    def run_out(self) -> None:
        self._leave_to_draw()
        self._cut(429, "rate_limited", "The account's output budget is used up.", "limits.output_tokens")

    def fail(self, code: str, why: str, status: int = 502) -> None:
        self._drop_upstream()
        self._upstream_error(status, code, why)

    def shown(self, model: str) -> bool:
        """Return whether a model is listed for this account."""
        who = self.caller
        assert who is not None
        try:
            if self._objects is not None and not self._objects.may_use(model):
                return False
        except OwnersError:
            return False
        if not self.gate.terms.models.hide_banned:
            return True
        return self.gate.verdict(model, who.account, who.org, self.began_us).allow

    def still_allowed(self) -> bool:
        """Return whether changes of policy, account or key still allow the exchange; if not, it ends."""
        gate, who = self.gate, self.caller
        if gate.terms is self._terms and gate.tables is self._tables:
            return True
        assert who is not None
        self._tables = gate.tables
        refusal = refusal_since(gate, who, self.operation, self.does)
        if refusal is not None:
            self._cut(refusal.status, refusal.code, refusal.message, refusal.rule)
            return False
        if gate.terms is self._terms:
            return True
        self._terms = gate.terms
        for name in self.facts.models:
            verdict = gate.verdict(name, who.account, who.org, gate.now_us())
            if not verdict.allow:
                self._refuse_banned(name, verdict)
                return False
        return not self._name or self.served(self._name)

    def served(self, name: str) -> bool:
        """Return whether the answering model is allowed; if not, the reply ends here."""
        who = self.caller
        assert who is not None
        verdict = self.gate.reply_verdict(self.asked, name, who.account, who.org, self.began_us)
        if not verdict.allow:
            self._served_name = name
            self._refuse_banned(name, verdict)
            return False
        self._name = self._name or name
        if self._charge is not None:
            self._charge.model = self._name
        if verdict.warn and not self._warn:
            self._warn = verdict.warn
            self.gate.counters[_MODEL_MISMATCH] += 1
            if not self._headed:
                self._headers.append((b"x-stillwatch-warning", safe(verdict.warn)))
        return True

    def took(self, body: bytes) -> None:
        """Note what an uploaded file may produce, under the name that the upstream gave it."""
        batch, who, charge = self.facts.batch, self.caller, self._charge
        if batch is None or batch.begins or who is None or charge is None:
            return
        try:
            named = _UPLOADED.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return
        name = named.id or (named.file.name if named.file else "")
        if not name:
            return
        tokens = batch.said + batch.unsaid * charge.longest()
        promised = replace(batch, said=tokens, unsaid=0)
        self.gate.notes.note(who.account, name, promised, self.began_us, self.facts.models)

    def deliver(self, data: bytes) -> None:
        """Send bytes to the client; the head goes with the first of them."""
        if self.over or not data:
            return
        client = self.client
        self.delivered += len(data)
        if self._keep_reply:
            self._keep(data)
        if self._headed:
            client.send_piece(data)
            return
        self._headed = True
        length, body = self._length, self._body
        if type(body) is Whole:
            length = length if body.length is None else body.length
        elif type(body) is Events:
            self._observe(FIRST_TOKEN, self._took_us())
        if self.strip and type(body) in (Events, Lines):
            length = None
        head = client.head(self.status, self._reason, self._headers, length)
        client.send(head, client.framed(data))

    def _keep(self, data: bytes) -> None:
        self._kept.append(data)
        self._kept_size += len(data)
        if self._kept_size > PART_BYTES and self.number:
            self.gate.note(frame(PART, self.number, *self._kept))
            self._kept, self._kept_size = [], 0

    def _refuse_banned(self, name: str, verdict: ModelVerdict) -> None:
        self.gate.counters[_CUT_MODEL] += 1
        self._cut(403, "model_banned", verdict.reason or f"{name} may not be used here.", verdict.rule)

    def _cut(self, status: int, code: str, message: str, rule: str) -> None:
        """End a reply early with an error: as the answer if nothing was sent, else as its last event."""
        self._drop_upstream()
        if self.over:
            return
        if not self._headed:
            self._answer(status, code, message, None, "cut", rule)
            return
        self._finish_facts(False)
        if isinstance(self._body, Events) and self._body.as_sent and self._length is None:
            event = error_event(self.operation, status, code, message)
            self.client.send(self.client.framed(event), self.client.last)
            self._end("cut", rule)
            self.client.done()
        else:
            self._end("cut", rule)
            self.client.cut()

    # --- the outcome -----------------------------------------------------------------------------------

    def _finish_facts(self, complete: bool) -> None:
        """Collect the facts of the reply, and charge the account."""
        charge = self._charge
        if self._body is not None:
            self._facts = facts = self._body.facts(complete)
            is_told = facts is not None and (facts.output_tokens or facts.background)
            is_unread = self.status // 100 == 2 and not (is_told or self._is_media or self.comes_later)
            if charge is not None and is_unread:
                self._facts = unread_facts(facts, self.does, self.request.method, self.delivered, charge.held)
        if charge is not None:
            nothing_begun = complete and self.status // 100 != 2
            self._facts = charge.bill_reply(self._facts, self.request, self.does, complete, nothing_begun)

    def _end(self, outcome: str, rule: str | None = None) -> None:
        """Note the outcome and release all that this exchange held."""
        if self.over:
            return
        self.over = True
        gate, facts = self.gate, self._facts or _NOTHING
        if outcome in ("upstream_error", "cut", "refused"):
            self._leave(f"the exchange ended: {outcome}")
        body, self._body = self._body, None  # breaks a reference cycle, so that memory is freed at once
        if "on_data" in self.__dict__:
            del self.__dict__["on_data"]
        if gate.held_replies.total:
            gate.held_replies.drop(self)
        gate.counters[_IN_FLIGHT] -= 1
        took_us, charge = self._took_us(), self._charge
        if charge is not None:
            if charge.held:
                charge.let_go()
            if outcome == "refused" or (outcome == "complete" and self.status // 100 != 2):
                charge.give_back_batch()  # it did not start
        if outcome == "complete" and self.does == "generates":
            gate.durations.append(took_us)
        if outcome == "complete":
            gate.counters[_ANSWERED] += 1
        self._observe(DURATION, took_us)
        if gate.logs_requests or outcome == "upstream_error":
            self._log(outcome, rule)
        if not self.number:
            return
        entry = ExchangeOutcome(
            self.began_us + took_us, outcome, self.status, took_us // 1000, self.delivered,
            self._served_name or facts.served_model, facts.input_tokens,
            facts.output_tokens, facts.reasoning_tokens,
            facts.estimated, facts.finish_reason, isinstance(body, Events) or self.facts.stream, rule,
            self._part,
        )  # fmt: skip
        gate.note(frame(OUTCOME, self.number, pack(entry), *self._kept))

    def _observe(self, metric: str, took_us: int) -> None:
        self.gate.histograms.observe(metric, self.operation, self.asked, self.status, took_us / 1e6)

    @property
    def _exchange(self) -> str:
        """The id of the exchange's row; empty if nothing of it is recorded."""
        return exchange_id(self.gate.worker, self.number, self.gate.gateway) if self.number else ""

    def _ids(self) -> list[Header]:
        """Return the headers that connect a reply to its row, its line in the log and the client's trace."""
        self.trace = self.trace or traceparent(self.caller.trace if self.caller else None)
        headers = [(b"traceparent", self.trace.encode())]
        if self.number:
            headers.append((b"x-stillwatch-exchange", self._exchange.encode()))
        return headers

    def _log(self, outcome: str, rule: str | None) -> None:
        """Log one line: the account, the request, how it ended and why. It contains no text and no key."""
        who, facts = self.caller, self._facts or _NOTHING
        level = logging.WARNING if outcome == "upstream_error" else logging.INFO
        if not logs.requests.isEnabledFor(level):
            return
        self._ids()
        path = self.request.target.partition("?")[0]
        logs.request(
            level,
            f"{self.request.method} {path[: logs.LONGEST]} {self.status} {outcome}",
            exchange=self._exchange or None, traceparent=self.trace, outcome=outcome, status=self.status,
            reason=self._code or None,
            rule=rule or (self.decision.rule if self.caller is not None else None),
            operation=self.operation, model=self.asked or None, served_model=facts.served_model,
            account=who.account if who else None, key_id=who.key_id or None if who else None,
            address=who.address if who else self.client.peer, stream=self.facts.stream,
            duration_ms=self._took_us() // 1000,
            input_tokens=facts.input_tokens, output_tokens=facts.output_tokens,
            request_bytes=len(self.request.body), delivered_bytes=self.delivered,
        )  # fmt: skip

    def _answer(
        self,
        status: int,
        code: str,
        message: str,
        retry_after_s: int | None = None,
        outcome: str = "refused",
        rule: str | None = None,
    ) -> None:
        """Answer in place of the upstream."""
        body = error_body(self.operation, status, code, message)
        client = self.client
        self.status = status
        headers = [*error_headers(retry_after_s), *self._ids()]
        headers.append((b"x-request-id", (self._exchange or self.trace[3:35]).encode()))
        self._code = code
        client.send(client.head(status, REASONS.get(status, b"Error"), headers, len(body)))
        if self.request.method != "HEAD":
            client.send(body)
        self._end(outcome, rule)
        client.done()

    def on_client_lost(self) -> None:
        """Handle a client that hung up: cancel the upstream request, count what was delivered."""
        if self.over:
            return
        self._leave_to_draw()
        self._drop_upstream()
        self.gate.counters[_CLIENT_LEFT] += 1
        if not self._headed:
            self.status = LEFT
        self._finish_facts(False)
        self._end("client_left")

    def on_client_slow(self, slow: bool) -> None:
        """Slow the upstream down while the client reads slowly, so that little is buffered between them.

        If the client reads again, a reply that waits until others are whole still waits.
        """
        if slow or not self.gate.held_replies.waits(self):
            self.hold_back(slow)

    def hold_back(self, held: bool) -> None:
        if self.connection is not None:
            self.connection.hold(held)

    def _drop_upstream(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()

    def _leave_to_draw(self) -> None:
        """Read a reply that its client abandoned to its end, for the coin's ledger."""
        if self._draw is not None and self.connection is not None:
            connection, self.connection = self.connection, None
            self._draw.adopt(connection)
            self._draw = None

    def _leave(self, why: str) -> None:
        """Report to the coin, if there is one, that this answer is missing."""
        draw, self._draw = self._draw, None
        if draw is not None:
            draw.mine.fail(why)


class _Named(msgspec.Struct):
    """A reply with an id."""

    id: str


class _NamedFile(msgspec.Struct):
    """Google's."""

    name: str = ""


class _UploadReply(msgspec.Struct):
    """A reply to an upload, with the name of the file."""

    id: str = ""
    file: _NamedFile | None = None


_ID = msgspec.json.Decoder(_Named)
_UPLOADED = msgspec.json.Decoder(_UploadReply)
_NOTHING = ReplyFacts()
