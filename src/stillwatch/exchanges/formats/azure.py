"""Azure: API Management's LLM and gateway logs, and Azure OpenAI's own diagnostics (AzureDiagnostics).

`ApiManagementGatewayLlmLog` splits a request or response over 32 KB into rows by SequenceNumber, at most 2
MB, and names no caller: rows are put together by CorrelationId and joined with `ApiManagementGatewayLogs`,
which names the subscription. Both tables must be in the same read, in any order and any files; pieces are
held until the end. Azure OpenAI's diagnostics hold no text: their rows have a null prompt and count for
volume and timing only.

Source: learn.microsoft.com/azure/azure-monitor/reference/tables/apimanagementgatewayllmlog and
...gatewaylogs; learn.microsoft.com/azure/api-management/api-management-howto-llm-logs (2025-08-22).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.messages import dig, first, from_text, message_text
from stillwatch.exchanges.request_text import NOTHING, messages_text, recognise

LLM, GATEWAY, DIAGNOSTICS = "llm", "gateway", "diagnostics"
CATEGORIES = {
    "apimanagementgatewayllmlog": LLM, "generativeaigatewaylogs": LLM, "gatewayllmlogs": LLM,
    "apimanagementgatewaylogs": GATEWAY, "gatewaylogs": GATEWAY,
    "requestresponse": DIAGNOSTICS,
}  # fmt: skip
OTHER = {"audit", "trace", "azureopenairequestusage", "websocketconnectionlogs", "gatewaymcplogs"}
HEADER = (
    "deploymentname",
    "modelname",
    "prompttokens",
    "completiontokens",
    "isstreamcompletion",
    "operationname",
)


def flat(obj: Json) -> dict[str, object]:
    """A record with its `properties` beside the rest and all keys in one case: tables and blobs differ in
    both."""
    found: dict[str, object] = {}
    inner = from_text(first(obj.get("properties"), obj.get("properties_s"), obj.get("Properties")))
    for part in (inner if isinstance(inner, dict) else {}, obj):
        for key, value in part.items():
            plain = key.removesuffix("[UTC]").strip().lower()
            for ending in ("_s", "_d", "_g", "_b"):
                plain = plain.removesuffix(ending)
            if value is not None and value != "":
                found[plain] = value
    return found


def kind_of(found: Json) -> str | None:
    """Which of the tables a flattened record is from; "other" for Azure's tables that hold no exchange."""
    for key in ("type", "category"):
        name = str(found.get(key, "")).lower()
        if name in CATEGORIES:
            return CATEGORIES[name]
        if name in OTHER and ("resourceid" in found or "timegenerated" in found):
            return "other"
    if "correlationid" not in found:
        return None
    if "sequencenumber" in found or "requestmessages" in found or "responsemessages" in found:
        return LLM
    return GATEWAY if "apimsubscriptionid" in found or "backendurl" in found else None


def sniff(obj: Json) -> bool:
    records = obj.get("records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        obj = records[0]
    keys = {key.lower() for key in obj}
    return bool(keys & {"correlationid", "correlationid_g", "category", "resourceid", "type"}) and bool(
        kind_of(flat(obj))
    )


@dataclass
class Pieces:
    """What has been seen of one exchange."""

    place: str
    request: dict[int, object] = field(default_factory=dict)
    response: dict[int, object] = field(default_factory=dict)
    head: dict[str, object] = field(default_factory=dict)
    time: str = ""


@dataclass
class Azure:
    """The pieces and the gateway rows of one read, by CorrelationId."""

    pieces: dict[str, Pieces] = field(default_factory=dict)
    gateway: dict[str, tuple[str, dict[str, object]]] = field(default_factory=dict)

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        records = obj.get("records")
        for record in records if isinstance(records, list) else [obj]:
            if not isinstance(record, dict):
                yield Refused("holds a record that is no object")
                continue
            yield self._read_record(flat(record), place)

    def _read_record(self, found: dict[str, object], place: str) -> Item:
        kind = kind_of(found)
        if kind == DIAGNOSTICS:
            return _diagnostics(found)
        if kind == "other":
            return ASIDE
        key = found.get("correlationid")
        if kind is None or not isinstance(key, str):
            return Refused("has no CorrelationId or no table that is known here")
        if kind == GATEWAY:
            self.gateway[key] = (place, found)
            return ASIDE
        held = self.pieces.setdefault(key, Pieces(place))
        number = found.get("sequencenumber", 0)
        try:
            sequence = int(number) if isinstance(number, int | str) else 0
        except ValueError:
            return Refused("SequenceNumber must be a whole number")
        for name, into in (("requestmessages", held.request), ("responsemessages", held.response)):
            if found.get(name) is not None:
                into[sequence] = found[name]
        for name in HEADER:
            if name in found:
                held.head.setdefault(name, found[name])
        time = str(first(found.get("timegenerated"), found.get("time"), ""))
        held.time = min(held.time, time) if held.time else time
        return ASIDE

    def finish(self) -> Iterator[Item]:
        for key, held in sorted(self.pieces.items()):
            _, caller = self.gateway.pop(key, ("", {}))
            if not caller:
                yield Refused(
                    f"exchange {key[:40]}: no row of ApiManagementGatewayLogs has this CorrelationId, so no "
                    "account is known; right would be to export both tables",
                    held.place,
                )
                continue
            yield _join_pieces(key, held, caller)
        # bodies logged by the gateway itself, no LLM table
        for key, (_, caller) in sorted(self.gateway.items()):
            request = from_text(first(caller.get("requestbody"), caller.get("backendrequestbody")))
            if isinstance(request, dict) and recognise(request):
                answer = from_text(first(caller.get("responsebody"), caller.get("backendresponsebody")))
                row = exchange(request, answer if isinstance(answer, dict) else {})
                yield row | _caller(key, caller)


def _caller(key: str, caller: Json) -> Row:
    return {
        "exchange_id": key,
        "time": _time(first(caller.get("timegenerated"), caller.get("time"))),
        "account": first(caller.get("apimsubscriptionid"), caller.get("userid"), caller.get("productid")),
        "client_ip": caller.get("calleripaddress"),
        "status": first(caller.get("responsecode"), caller.get("backendresponsecode")),
        "latency_ms": _positive(first(caller.get("totaltime"), caller.get("durationms"))),
        "operation": _operation(caller.get("operationid")),
    }


def _join_pieces(key: str, held: Pieces, caller: Json) -> Row:
    request = _whole(held.request)
    words = NOTHING if request is None else messages_text(request)
    answer = _whole(held.response)
    row = _caller(key, caller)
    if held.time:
        row["time"] = _time(held.time)
    return row | {
        "model": first(held.head.get("modelname"), held.head.get("deploymentname")),
        **words.row(),
        "input_tokens": held.head.get("prompttokens"),
        "output_tokens": held.head.get("completiontokens"),
        "stream": held.head.get("isstreamcompletion"),
        "finish_reason": dig(answer, -1, "finish_reason"),
        "completion": _answer(answer),
    }


def _whole(pieces: dict[int, object]) -> object:
    """The pieces as one value: lists one after another, or the parts of one JSON text. A gap or a cut gives
    None."""
    if not pieces:
        return None
    order = sorted(pieces)
    parts = [from_text(pieces[number]) if len(order) == 1 else pieces[number] for number in order]
    if all(isinstance(part, list) for part in parts):
        return [message for part in parts if isinstance(part, list) for message in part]
    if order != list(range(order[0], order[0] + len(order))):
        return None
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]
    text = "".join(part for part in parts if isinstance(part, str))
    value = from_text(text)
    if value is text:
        each = [from_text(part) for part in parts]  # each row a whole list of its own, not one text cut up
        if all(isinstance(part, list) for part in each):
            return [message for part in each if isinstance(part, list) for message in part]
        return None if text.lstrip()[:1] in ("[", "{") else text
    return value


def _answer(answer: object) -> str | None:
    if isinstance(answer, list):
        answer_texts = [text for text in map(message_text, answer) if text]
        return "\n".join(answer_texts) or None
    return message_text(answer)


def _diagnostics(found: Json) -> Item:
    """Azure OpenAI RequestResponse: no text. The caller is the Entra object id, else the resource that
    pays."""
    return {
        "exchange_id": None,  # a correlationId may stand on several rows
        "time": _time(first(found.get("time"), found.get("timegenerated"))),
        "account": first(found.get("objectid"), found.get("resourceid"), found.get("resource")),
        "client_ip": found.get("calleripaddress"),  # its last part is masked
        "operation": _operation(found.get("operationname")),
        "model": first(found.get("modelname"), found.get("modeldeploymentname")),
        "prompt": None,
        "stream": {"streaming": True, "non-streaming": False}.get(str(found.get("streamtype", "")).lower()),
        "status": found.get("resultsignature"),
        "latency_ms": _positive(found.get("durationms")),
    }


def _positive(value: object) -> object:
    """Azure writes negative durations now and then: no duration, then."""
    return None if str(value).startswith("-") else value


def _operation(name: object) -> str | None:
    text = str(name or "").lower()
    if "chatcompletion" in text or "chat/completions" in text or "responses" in text:
        return "chat"
    if "embedding" in text:
        return "embeddings"
    return "text_completion" if "completion" in text else (str(name) if name else None)


def _time(value: object) -> object:
    """ISO, or the portal's CSV form `3/1/2026, 12:00:00.123 PM`, whose column is named [UTC]."""
    if isinstance(value, str) and "/" in value:
        for pattern in ("%m/%d/%Y, %I:%M:%S.%f %p", "%m/%d/%Y, %I:%M:%S %p"):
            try:
                return datetime.strptime(f"{value} +0000", f"{pattern} %z")
            except ValueError:
                continue
    return value


FORMAT = Format(name="Azure", order=30, sniff=sniff, open=Azure)
