"""Azure: API Management's LLM and gateway logs, and Azure OpenAI's own diagnostics (AzureDiagnostics).

`ApiManagementGatewayLlmLog` splits a request or response over 32 KB into rows by SequenceNumber, at most 2
MB, and names no caller. Rows are assembled by CorrelationId and joined with `ApiManagementGatewayLogs`, which
names the subscription. Both tables must be in the same read, in any order and any files; pieces are held
until the end. Azure OpenAI's diagnostics hold no text: their rows have a null prompt and count for volume and
timing only.

Source: learn.microsoft.com/azure/azure-monitor/reference/tables/apimanagementgatewayllmlog and
...gatewaylogs; learn.microsoft.com/azure/api-management/api-management-howto-llm-logs (2025-08-22).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stillwatch.exchanges.formats import ASIDE, Format, Item, Json, Refused, Row
from stillwatch.exchanges.formats.openai import exchange
from stillwatch.exchanges.mapping import find_fields, row_of
from stillwatch.exchanges.messages import as_object, dig, first, from_cut_text, from_text, message_text
from stillwatch.exchanges.request_text import NOTHING, messages_text, recognise

LLM, GATEWAY, DIAGNOSTICS = "llm", "gateway", "diagnostics"
CATEGORIES = {
    "apimanagementgatewayllmlog": LLM, "generativeaigatewaylogs": LLM, "gatewayllmlogs": LLM,
    "apimanagementgatewaylogs": GATEWAY, "gatewaylogs": GATEWAY,
    "requestresponse": DIAGNOSTICS,
}  # fmt: skip
OTHER = {"audit", "trace", "azureopenairequestusage", "websocketconnectionlogs", "gatewaymcplogs"}
HEADER = (
    "deploymentname", "modelname", "prompttokens", "completiontokens", "isstreamcompletion", "operationname",
)  # fmt: skip


def flat(obj: Json) -> dict[str, object]:
    """Return a record with its `properties` merged and keys in one case, in which tables and blobs differ."""
    fields: dict[str, object] = {}
    properties = as_object(first(obj.get("properties"), obj.get("properties_s"), obj.get("Properties")))
    for part in (properties, obj):
        for key, value in part.items():
            name = key.removesuffix("[UTC]").strip().lower()
            for ending in ("_s", "_d", "_g", "_b"):
                name = name.removesuffix(ending)
            if value is not None and value != "":
                fields[name] = value
    return fields


def kind_of(record: Json) -> str | None:
    """Return the table of a flattened record; "other" for Azure's tables without exchanges."""
    for key in ("type", "category"):
        name = str(record.get(key, "")).lower()
        if name in CATEGORIES:
            return CATEGORIES[name]
        if name in OTHER and ("resourceid" in record or "timegenerated" in record):
            return "other"
    if "correlationid" not in record:
        return None
    if "sequencenumber" in record or "requestmessages" in record or "responsemessages" in record:
        return LLM
    return GATEWAY if "apimsubscriptionid" in record or "backendurl" in record else None


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
    """The rows read so far of one exchange."""

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
    columns: Mapping[str, str] = field(default_factory=dict)  # the owner's: field -> column
    seen: set[str] = field(default_factory=set)  # fields found anywhere under these names
    named: dict[str, Row] = field(default_factory=dict)  # values found under them in any row of an exchange

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        records = obj.get("records")
        for record in records if isinstance(records, list) else [obj]:
            if not isinstance(record, dict):
                yield Refused("holds a record that is no object")
                continue
            named = row_of(find_fields(record, self.columns)) if self.columns else {}
            self.seen.update(named)
            item = self._read_record(flat(record), place, named)
            yield item | named if isinstance(item, dict) else item

    def _read_record(self, record: dict[str, object], place: str, named: Row) -> Item:
        kind = kind_of(record)
        if kind == DIAGNOSTICS:
            return _diagnostics(record)
        if kind == "other":
            return ASIDE
        key = record.get("correlationid")
        if kind is None or not isinstance(key, str):
            return Refused("has no CorrelationId or no table that is known here")
        if named:
            self.named[key] = self.named.get(key, {}) | named
        if kind == GATEWAY:
            self.gateway[key] = (place, record)
            return ASIDE
        pieces = self.pieces.setdefault(key, Pieces(place))
        number = record.get("sequencenumber", 0)
        try:
            sequence = int(number) if isinstance(number, int | str) else 0
        except ValueError:
            return Refused("SequenceNumber must be a whole number")
        for name, part in (("requestmessages", pieces.request), ("responsemessages", pieces.response)):
            if record.get(name) is not None:
                part[sequence] = record[name]
        for name in HEADER:
            if name in record:
                pieces.head.setdefault(name, record[name])
        time = str(first(record.get("timegenerated"), record.get("time"), ""))
        pieces.time = min(pieces.time, time) if pieces.time else time
        return ASIDE

    def finish(self) -> Iterator[Item]:
        for key, pieces in sorted(self.pieces.items()):
            _, caller = self.gateway.pop(key, ("", {}))
            if not caller:
                yield Refused(
                    f"exchange {key[:40]}: no row of ApiManagementGatewayLogs has this CorrelationId, so no "
                    "account is known; right would be to export both tables",
                    pieces.place,
                )
                continue
            yield _join_pieces(key, pieces, caller) | self.named.get(key, {})
        # bodies logged by the gateway itself, without the LLM table
        for key, (_, caller) in sorted(self.gateway.items()):
            # the gateway logs at most 8,192 bytes of a body
            request = as_object(
                from_cut_text(first(caller.get("requestbody"), caller.get("backendrequestbody")))
            )
            if recognise(request):
                answered = first(caller.get("responsebody"), caller.get("backendresponsebody"))
                answer = as_object(from_cut_text(answered))
                yield exchange(request, answer) | _caller(key, caller) | self.named.get(key, {})


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


def _join_pieces(key: str, pieces: Pieces, caller: Json) -> Row:
    request = _join_parts(pieces.request)
    texts = NOTHING if request is None else messages_text(request)
    answer = _join_parts(pieces.response)
    row = _caller(key, caller)
    if pieces.time:
        row["time"] = _time(pieces.time)
    return row | {
        "model": first(pieces.head.get("modelname"), pieces.head.get("deploymentname")),
        **texts.row(),
        "input_tokens": pieces.head.get("prompttokens"),
        "output_tokens": pieces.head.get("completiontokens"),
        "stream": pieces.head.get("isstreamcompletion"),
        "finish_reason": dig(answer, -1, "finish_reason"),
        "completion": _answer(answer),
    }


def _join_parts(pieces: dict[int, object]) -> object:
    """Join pieces into one value: concatenated lists, or parts of a JSON text; None if one is missing."""
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
        values = [from_text(part) for part in parts]  # each row holds a whole list, not a slice of one text
        if all(isinstance(part, list) for part in values):
            return [message for part in values if isinstance(part, list) for message in part]
        return None if text.lstrip()[:1] in ("[", "{") else text
    return value


def _answer(answer: object) -> str | None:
    if isinstance(answer, list):
        answer_texts = [text for text in map(message_text, answer) if text]
        return "\n".join(answer_texts) or None
    return message_text(answer)


def _diagnostics(record: Json) -> Item:
    """Return an Azure OpenAI RequestResponse, without text, of the Entra object id, else the resource."""
    return {
        "exchange_id": None,  # several rows may share a correlationId
        "time": _time(first(record.get("time"), record.get("timegenerated"))),
        "account": first(record.get("objectid"), record.get("resourceid"), record.get("resource")),
        "client_ip": record.get("calleripaddress"),  # its last part is masked
        "operation": _operation(record.get("operationname")),
        "model": first(record.get("modelname"), record.get("modeldeploymentname")),
        "prompt": None,
        "stream": {"streaming": True, "non-streaming": False}.get(str(record.get("streamtype", "")).lower()),
        "status": record.get("resultsignature"),
        "latency_ms": _positive(record.get("durationms")),
    }


def _positive(value: object) -> object:
    """Return a duration, or None for the negative ones that Azure sometimes writes."""
    return None if str(value).startswith("-") else value


def _operation(name: object) -> str | None:
    text = str(name or "").lower()
    if "chatcompletion" in text or "chat/completions" in text or "responses" in text:
        return "chat"
    if "embedding" in text:
        return "embeddings"
    return "text_completion" if "completion" in text else (str(name) if name else None)


def _time(value: object) -> object:
    """Parse ISO, or the portal's CSV form `3/1/2026, 12:00:00.123 PM`, whose column is named [UTC]."""
    if isinstance(value, str) and "/" in value:
        for pattern in ("%m/%d/%Y, %I:%M:%S.%f %p", "%m/%d/%Y, %I:%M:%S %p"):
            try:
                return datetime.strptime(f"{value} +0000", f"{pattern} %z")
            except ValueError:
                continue
    return value


FORMAT = Format(name="Azure", order=30, sniff=sniff, open=Azure)
