"""LiteLLM's two HTTP forms: requests of its generic guardrail, and its logs.

The code inside LiteLLM's process is `files/stillwatch_litellm.py`; its reports arrive here too, with its own
data under the key `stillwatch` of LiteLLM's record. Source: litellm 1.108.7, generic_guardrail_api.py,
generic_api_callback.py.
"""

from collections.abc import Iterable, Iterator

import msgspec

from stillwatch.exchanges.formats import Refused, Row
from stillwatch.exchanges.formats.litellm import rows as rows_of
from stillwatch.exchanges.messages import dig, first, from_text
from stillwatch.exchanges.request_text import request_text
from stillwatch.exchanges.sketched import OUTCOMES
from stillwatch.exchanges.strict_json import decode_mended, mend
from stillwatch.gateway.hooks import HookReply, ReportedRequest
from stillwatch.gateway.hooks.dialects import JSON, few_values
from stillwatch.gateway.hooks.intake import ANSWER, check_row, digest_id
from stillwatch.gateway.path.request import BadRequest
from stillwatch.terms import Decision

WHO = ("user_api_key_hash", "user_api_key_alias", "user_api_key_user_id", "user_api_key_team_id",
       "user_api_key_org_id")  # fmt: skip  # as `formats.litellm` reads an account
MOST_RECORDS = 20_000  # in one request
OF_A_RECORD = 2  # times the limit of a request: a record has a request and LiteLLM's version of it


def guardrail_request(body: dict[str, object]) -> tuple[ReportedRequest, bool]:
    """Read a guardrail call; also return whether it is about a request, which counts. Raises: BadRequest."""
    data = body.get("request_data")
    account = first(*(dig(data, name) for name in WHO))
    if not isinstance(account, str):
        raise BadRequest(400, "no_account", f"request_data names no account: one of {', '.join(WHO)}")
    org, user = first(dig(data, WHO[4]), dig(data, WHO[3])), dig(data, "user_api_key_end_user_id")
    model = body.get("model")
    reported = ReportedRequest(
        account, None, "", org if isinstance(org, str) else None, user if isinstance(user, str) else None,
        models=(model,) if isinstance(model, str) and model else (), blind=not model,
    )  # fmt: skip
    return reported, body.get("input_type") == "request"


def guardrail_reply(decision: Decision) -> HookReply:
    """Return a decision in LiteLLM's format."""
    answer = (
        {"action": "NONE"} if decision.allow else {"action": "BLOCKED", "blocked_reason": decision.message}
    )
    return HookReply(200, msgspec.json.encode(answer), (JSON,))


def records(body: bytes) -> Iterator[tuple[bytes, dict[str, object] | Refused]]:
    """Yield each record of a batch: an array, one object, or one a line. Raises: BadRequest for others."""
    for raw in _texts(body):
        try:
            record, _ = decode_mended(few_values(raw, OF_A_RECORD))
            yield raw, record if isinstance(record, dict) else Refused("a record is no JSON object")
        except Refused as why:
            yield raw, why


def _texts(body: bytes) -> list[bytes]:
    """Return the texts of a batch's records, so that an error in one does not affect the others."""
    start = body.lstrip()[:1]
    if start == b"[":
        try:
            texts = [bytes(text) for text in msgspec.json.decode(mend(body), type=list[msgspec.Raw])]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as why:
            raise BadRequest(400, "bad_json", f"the batch is not JSON: {type(why).__name__}") from None
    elif start == b"{":
        texts = [line for line in body.split(b"\n") if line.strip()]
        if len(texts) > 1 and not _is_json(texts[0]) and _is_json(body):
            texts = [body]  # one object over several lines
    else:
        raise BadRequest(400, "bad_json", "a batch is a JSON array, a JSON object, or a JSON object a line")
    if len(texts) > MOST_RECORDS:
        what = f"{len(texts):,} records in one batch; send at most {MOST_RECORDS:,}"
        raise BadRequest(413, "too_many", what)
    return texts


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(mend(raw), type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def rows(obj: dict[str, object], now_us: int) -> Iterable[Row]:
    """Yield the rows of one record. Raises: Refused."""
    extra = obj.pop("stillwatch", None)
    made = list(rows_of(obj))
    for row in made:
        if isinstance(row, Refused):
            raise row
        assert isinstance(row, dict)
        row["served_model"] = _served_model(obj)
        # LiteLLM's ids are the upstream's or, by x-litellm-call-id, the client's: two exchanges may share one
        row["exchange_id"] = digest_id("llm", obj)
        row["outcome"] = "complete" if obj.get("status") != "failure" else "upstream_error"
        if isinstance(extra, dict):
            _add(row, extra)
        yield check_row(row, now_us)


def _served_model(obj: dict[str, object]) -> object:
    served = first(dig(from_text(obj.get("response")), "model"), obj.get("model"))
    return served if isinstance(served, str) else None


def _add(row: Row, extra: dict[str, object]) -> None:
    """Replace values that our own callback knows better than LiteLLM's record."""
    for name, field in (("id", "exchange_id"), ("rule", "rule"), ("account", "account"), ("answer", ANSWER)):
        if isinstance(extra.get(name), str):
            row[field] = extra[name]
    if extra.get("outcome") in OUTCOMES:
        row["outcome"] = extra["outcome"]
        if row["outcome"] == "refused":
            row["served_model"] = None
    if isinstance(extra.get("asked"), dict):  # all text that the client sent, not the messages alone
        words = request_text(extra["asked"]).row()
        row |= {name: value for name, value in words.items() if value is not None}
