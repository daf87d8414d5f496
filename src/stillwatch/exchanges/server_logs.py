"""Recognise logs of model servers and proxies that name no account or contain no request.

They are rejected with advice on what to log instead.

Source: vllm/entrypoints/logger.py and sglang/srt/utils/request_logger.py (read 2026-11). What Ollama,
llama.cpp's server, text-generation-inference, Ray Serve and Traefik print is from memory.
"""

import re
from collections.abc import Mapping

NO_ACCOUNT = (
    "is {}, which does not say whose request it was; right would be the log of a gateway in front of it, "
    "such as stillwatch serve, or of the application that calls it (docs/exchanges.md)"
)
NO_REQUEST = (
    "is {}, which holds no request; right would be a log with the requests' bodies, as nginx writes it with "
    "escape=json and $request_body (docs/exchanges.md)"
)
A_CHAT = (
    "is {}, which holds the messages of a chat product and no requests with their settings; right would be "
    "the log of the gateway or API behind it (docs/exchanges.md)"
)
VLLM, SGLANG, TGI = "vLLM's log", "SGLang's log", "a log of Text Generation Inference"
LINES = (  # beginning of the first line -> the program that writes it, and what it lacks
    (rb"(?:\(\w+ pid=\d+\) )?(?:INFO|WARNING|DEBUG) \d\d-\d\d \d\d:\d\d:\d\d \[", VLLM, NO_ACCOUNT),
    (rb"INFO: +\S+ - \"[A-Z]+ /", "a web server's log", NO_REQUEST),  # Uvicorn's
    (rb"\[GIN\] |time=\S+ level=\w+ source=", "Ollama's log", NO_ACCOUNT),
    (rb"(?:srv|slot) +\w+: |build: \d+ \(|llama_model_loader: ", "llama.cpp's log", NO_ACCOUNT),
    (
        rb"\[\d{4}-\d\d-\d\d [\d:]{8}[^\]]*\] (?:Receive|Finish|INFO|Prefill|Decode|server_)",
        SGLANG,
        NO_ACCOUNT,
    ),
    (rb"\d{4}-\d\d-\d\dT\S+Z +(?:INFO|WARN|ERROR) text_generation", TGI, NO_ACCOUNT),
    (rb"\S+ \S+ \S+ \[\d\d/\w{3}/\d{4}:", "an access log in text", NO_REQUEST),  # nginx, Apache, Traefik
    (rb"\[\d{4}-\d\d-\d\dT[\d:.]+Z\] \"[A-Z]+ ", "Envoy's access log", NO_REQUEST),
)
OBJECTS = (  # the keys of a line -> the same
    ({"event", "rid", "obj"}, SGLANG, NO_ACCOUNT),
    ({"target", "span", "spans"}, TGI, NO_ACCOUNT),
    ({"levelname", "asctime", "replica", "deployment"}, "Ray Serve's log", NO_ACCOUNT),
    ({"DownstreamStatus", "RequestPath"}, "Traefik's access log", NO_REQUEST),
    ({"quota", "token_name", "model_name", "username"}, "the billing log of one-api or new-api", NO_REQUEST),
    ({"usage_date_utc", "usage_output_tokens"}, "a usage export of the Claude Console", NO_REQUEST),
    ({"messageId", "conversationId", "isCreatedByUser"}, "LibreChat's messages", A_CHAT),
    ({"chatId", "dataId", "obj", "value"}, "FastGPT's chat items", A_CHAT),
    ({"chat", "user_id", "share_id"}, "an export of Open WebUI", A_CHAT),
    ({"user_id", "last_active_at", "messages"}, "an export of ChatGPT's conversations", A_CHAT),
)
_BEGINNINGS = re.compile(b"|".join(b"(" + begin + b")" for begin, _, _ in LINES))


def of_text(line: bytes) -> str | None:
    """Return why the file that begins with this line is rejected, or None.

    >>> of_text(b'[GIN] 2026/03/02 - 09:12:00 | 200')[:16], of_text(b"time,account,prompt")
    ("is Ollama's log,", None)
    """
    match = _BEGINNINGS.match(line)
    if match is None or match.lastindex is None:
        return None
    _, what, sentence = LINES[match.lastindex - 1]
    return sentence.format(what)


def of_object(obj: Mapping[str, object]) -> str | None:
    """Return why a line with these keys is rejected, or None."""
    return next((sentence.format(what) for keys, what, sentence in OBJECTS if keys <= obj.keys()), None)
