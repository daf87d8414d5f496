"""Higress' access log with `ai_log`, which its plugin ai-statistics writes.

Texts are present if the plugin's attributes include `question` and `answer`: the last message and the answer,
without earlier turns. The account is the consumer that an authentication plugin of the gateway identified.
Without such a plugin, a client can write that header itself.

Source: alibaba/higress, plugins/wasm-go/extensions/ai-statistics, README and main.go (read 2026-12).
"""

from collections.abc import Iterator

from stillwatch.exchanges.formats import Format, Item, Json, Refused, Stateless
from stillwatch.exchanges.messages import as_object, first, text_of


def sniff(obj: Json) -> bool:
    return "ai_log" in obj and "start_time" in obj


def rows(obj: Json) -> Iterator[Item]:
    said = as_object(obj.get("ai_log"))
    address = obj.get("downstream_remote_address")
    row = {
        "exchange_id": first(said.get("chat_id"), obj.get("request_id")),
        "time": obj.get("start_time"),
        "account": said.get("consumer"),
        "client_ip": address.rpartition(":")[0].strip("[]") if isinstance(address, str) else None,
        "user_agent": obj.get("user_agent"),
        "operation": "chat",
        "conversation": said.get("session_id"),
        "turn": said.get("chat_round"),
        "model": said.get("model"),
        "prompt": text_of(said.get("question")),
        "completion": text_of(said.get("answer")),
        "input_tokens": said.get("input_token"),
        "output_tokens": said.get("output_token"),
        "status": obj.get("response_code"),
        "latency_ms": first(said.get("llm_service_duration"), obj.get("duration")),
    }
    if row["account"] is None:
        raise Refused(
            "has no account: ai_log has no consumer (is an authentication plugin on, such as key-auth? "
            "another name: --map account=ai_log.NAME)",
            row=row,
        )
    yield row


FORMAT = Format(name="Higress", order=47, sniff=sniff, open=lambda: Stateless(rows))
