"""Sends a composed log's requests over HTTP: honest ones by httpx, the campaign's by OpenAI's client.

One request at a time, each at its own event time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from stillwatch.distill.train.extra import need
from stillwatch.range.live import LiveError
from stillwatch.range.live.provider import PACE_HEADER, PROBLEM_HEADER, SIZE_HEADER, problem_in

FIELDS = ("temperature", "top_p", "max_tokens", "seed")
FROM_HEADER = "x-forwarded-for"  # the gateway trusts this machine to give a client's address in it
REFUSED = 403
PACE_MS = "10"  # a model that writes a hundred tokens a second

Row = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """A client's result. `whole`: the answer was complete. `left`: the client aborted it."""

    status: int
    reasoning: str = ""
    answer: str = ""
    tokens: int = 0
    whole: bool = False
    left: bool = False
    code: str | None = None


def messages_of(row: Row) -> list[dict[str, str]]:
    """Return the messages of a row of the record; a log does not have the earlier turns of a conversation."""
    messages = [{"role": "system", "content": row["system"]}] if row["system"] else []
    messages += [{"role": "user", "content": "earlier"}] * ((row["turn"] or 1) - 1)
    return [*messages, {"role": "user", "content": row["prompt"] or ""}]


def options_of(row: Row) -> dict[str, Any]:
    """Return a request's options besides its messages."""
    options = {name: row[name] for name in FIELDS if row.get(name) is not None}
    if (row.get("n") or 1) > 1:
        options["n"] = row["n"]
    if row.get("top_logprobs"):
        options |= {"logprobs": True, "top_logprobs": row["top_logprobs"]}
    if row.get("tools"):
        options["tools"] = [
            {"type": "function", "function": {"name": f"tool_{k}"}} for k in range(row["tools"])
        ]
    if row.get("response_format"):
        options["response_format"] = {"type": row["response_format"]}
    if row.get("end_user"):
        options["user"] = row["end_user"]
    if row.get("stream"):
        options |= {"stream": True, "stream_options": {"include_usage": True}}
    return options


def size_of(row: Row) -> str:
    """Return the size of the answer in the log, for the provider's filler."""
    names = ("status", "input_tokens", "output_tokens", "reasoning_tokens", "finish_reason")
    status, *values = (row[name] for name in names)
    return json.dumps([status or 200, *values])


class LiveClients:
    """All clients of one gateway."""

    def __init__(self, url: str, keys: Mapping[str, str]) -> None:
        need("openai")
        import openai

        httpx = import_module("httpx2" if find_spec("httpx2") else "httpx")  # the one of its client
        self._openai, self._httpx, self._url, self.keys = openai, httpx, url, dict(keys)
        self._plain = httpx.Client(base_url=url, timeout=120.0, trust_env=False)
        shared = openai.DefaultHttpxClient(timeout=120.0, trust_env=False)
        self._official = openai.OpenAI(
            base_url=f"{url}/v1", api_key="unset", max_retries=0, http_client=shared, timeout=120.0
        )

    def close(self) -> None:
        self._plain.close()
        self._official.close()

    def honest(self, row: Row, account: str) -> Heard:
        """Send an honest request, and read the answer to its end."""
        head = {
            "authorization": f"Bearer {self.keys[account]}",
            "user-agent": row["user_agent"] or "",
            FROM_HEADER: row["client_ip"] or "",
            SIZE_HEADER: size_of(row),
        }
        body = {"model": row["model"], "messages": messages_of(row), **options_of(row)}
        try:
            answer = self._plain.post("/v1/chat/completions", headers=head, json=body)
        except self._httpx.HTTPError as why:
            raise LiveError(f"{self._url}: the gateway broke off an honest request: {why}") from why
        return Heard(answer.status_code, whole=answer.status_code == 200)

    def covert(self, row: Row, account: str, leave_after: int | None) -> Heard:
        """Ask the teacher as the campaign does; abort a stream after this many events if given."""
        head = {"user-agent": row["user_agent"] or "", FROM_HEADER: row["client_ip"] or ""}
        if (row["status"] or 200) != 200:  # the service fails here in the composed log
            head[SIZE_HEADER] = size_of(row)
        elif problem_in(row["prompt"] or "") is None:
            head[PROBLEM_HEADER] = row["problem"]
        if leave_after is not None:  # else the kernel would buffer it before anyone can abort
            head[PACE_HEADER] = PACE_MS
        client: Any = self._official.with_options(api_key=self.keys[account])
        try:
            completion = client.chat.completions.create(
                model=row["model"], messages=messages_of(row), extra_headers=head, **options_of(row)
            )
            if not row.get("stream"):
                message = completion.choices[0].message
                reasoning = getattr(message, "reasoning_content", None) or ""
                return Heard(
                    200, reasoning, message.content or "", completion.usage.completion_tokens, whole=True
                )
            return self._read_stream(completion, leave_after)
        except self._openai.APIStatusError as why:
            return Heard(why.status_code, code=why.code)
        except (self._openai.APIError, self._httpx.HTTPError) as why:
            raise LiveError(f"{self._url}: the gateway broke off a request of the campaign: {why}") from why

    def _read_stream(self, stream: Any, leave_after: int | None) -> Heard:
        reasoning, answer, tokens, finished = "", "", 0, False
        for events, event in enumerate(stream, 1):
            if event.usage is not None:
                tokens = event.usage.completion_tokens
            for choice in event.choices:
                reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                answer += choice.delta.content or ""
                finished = finished or choice.finish_reason is not None
            if leave_after is not None and events >= leave_after and not finished:
                stream.close()
                return Heard(200, reasoning, answer, events, left=True)
        return Heard(200, reasoning, answer, tokens, whole=finished)
