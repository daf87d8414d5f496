"""Apache APISIX: entries of its log plugins (http-logger, file-logger, kafka-logger and kin), with bodies.

Bodies are present with `include_req_body` and `include_resp_body`, or with `logging.payloads` of ai-proxy.
The account is the consumer that APISIX authenticated. Entries in a custom `log_format` are not recognised.

Source: apache/apisix, apisix/utils/log-util.lua and apisix/plugins/ai-proxy/base.lua (read 2026-11).
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Stateless
from stillwatch.exchanges.formats.openai import exchange, operation_of
from stillwatch.exchanges.messages import as_object, dig, first


def sniff(obj: Json) -> bool:
    return {"start_time", "request", "response"} <= obj.keys() and (
        "apisix_latency" in obj or ("route_id" in obj and "client_ip" in obj)
    )


def rows(obj: Json) -> Iterator[Item]:
    asked = first(dig(obj, "request", "body"), obj.get("llm_request"))
    request = as_object(asked)
    answer = answer_of(dig(obj, "response", "body"))
    row = exchange(request, answer)
    summary, headers = obj.get("llm_summary"), dig(obj, "request", "headers")
    row |= {
        "time": obj.get("start_time"),
        "account": first(dig(obj, "consumer", "username"), dig(obj, "consumer", "consumer_name")),
        "client_ip": obj.get("client_ip"),
        "user_agent": dig(headers, "user-agent"),
        "operation": operation_of(dig(obj, "request", "uri"), request),
        "model": first(row["model"], dig(summary, "request_model"), dig(summary, "model")),
        "input_tokens": first(row["input_tokens"], dig(summary, "prompt_tokens")),
        "output_tokens": first(row["output_tokens"], dig(summary, "completion_tokens")),
        "status": dig(obj, "response", "status"),
        "latency_ms": obj.get("latency"),
        "completion": first(row["completion"], dig(obj, "llm_response_text", "content")),
    }
    if row["account"] is None:
        why = (
            "has no account: consumer is empty (is an authentication plugin on? another name: --map account="
        )
        raise Refused(f"{why}request.headers.NAME)", row=row)
    yield row


FORMAT = Format(name="Apache APISIX", order=47, sniff=sniff, open=lambda: Stateless(rows))
