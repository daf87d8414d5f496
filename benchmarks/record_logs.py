#!/usr/bin/env python3
"""Write log fixtures with the real software that produces such logs, from calls to a fake upstream.

    python -m venv v
    v/bin/pip install openai openinference-instrumentation-openai langsmith langchain-core mlflow
    v/bin/python benchmarks/record_logs.py OUT


Each file's name includes the version that wrote it. Three calls each: one with a system text, one streamed,
one refused (429). Stack traces are cut. It imports nothing of Stillwatch.
"""

import argparse
import base64
import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

REPLY = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1772000000, "model": "gpt-4o-mini",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A reply."}}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}  # fmt: skip

BATCH = {  # a LangSmith server's stated limits
    "use_multipart_endpoint": False,
    "size_limit": 100,
    "size_limit_bytes": 20_000_000,
    "scale_up_nthreads_limit": 1,
    "scale_up_qsize_trigger": 1000,
    "scale_down_nempty_trigger": 4,
}


class Upstream(BaseHTTPRequestHandler):
    """Answers chat completions, whole or streamed, and refuses `refuse me`. Stores what clients send."""

    sent: ClassVar[list[tuple[str, dict, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "chat/completions" not in self.path:
            Upstream.sent.append((self.path, dict(self.headers), body))
            return self._answer(202, b"{}", "application/json")
        if b"refuse me" in body:
            return self._answer(429, b'{"error": {"message": "slow down"}}', "application/json")
        if not json.loads(body).get("stream"):
            return self._answer(200, json.dumps(REPLY).encode(), "application/json")
        delta = {"index": 0, "delta": {"role": "assistant", "content": "A reply."}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        base = {k: REPLY[k] for k in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        chunks = [json.dumps(base | {"choices": [part]}) for part in (delta, end)]
        text = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"])
        return self._answer(200, text.encode(), "text/event-stream")

    def do_GET(self) -> None:
        self._answer(200, b"{}", "application/json")

    do_PATCH = do_POST

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def ask(client) -> None:
    """Make the three calls."""
    system = {"role": "system", "content": "Be kind."}
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[system, {"role": "user", "content": "How is peat made?"}],
        temperature=0.3,
        max_tokens=55,
        user="client-says-7",
    )
    for _ in client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Stream me a poem"}], stream=True
    ):
        pass
    with suppress(Exception):  # the refusal is to be logged
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "refuse me"}]
        )


def openinference(client, out: Path) -> None:
    """Record OpenInference's instrumentation: as OTLP JSON, and as printed by the SDK's own exporter."""
    from google.protobuf.json_format import MessageToDict
    from openinference.instrumentation import using_user
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "chatapp"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    with using_user("customer-1"):
        ask(client)
    OpenAIInstrumentor().uninstrument()
    spans = kept.get_finished_spans()
    name = f"openinference_openai_{version('openinference-instrumentation-openai')}"
    whole = json.dumps(MessageToDict(encode_spans(spans)))
    whole = re.sub(r'"(traceId|spanId|parentSpanId)": "([^"]+)"', _hex, whole)
    (out / f"{name}.otlp.jsonl").write_text(whole + "\n")
    lines = [json.dumps(json.loads(span.to_json())) for span in spans]
    (out / f"{name}.sdk.jsonl").write_text("\n".join(lines) + "\n")


def _hex(found: re.Match) -> str:
    # OTLP's JSON has hex where protobuf's has base64
    return f'"{found[1]}": "{base64.b64decode(found[2]).hex()}"'


def langsmith(client, out: Path, port: int) -> None:
    """Record LangSmith's wrapper of the client: the runs that it sends."""
    import os

    os.environ |= {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": "k",
        "LANGSMITH_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    from langsmith import Client
    from langsmith.wrappers import wrap_openai

    sender = Client(auto_batch_tracing=True, info={"batch_ingest_config": BATCH})
    Upstream.sent.clear()
    from langsmith.run_helpers import tracing_context

    with tracing_context(client=sender, metadata={"tenant": "t-1"}, enabled=True):
        ask(wrap_openai(client))
    _write_runs(sender, out / f"langsmith_{version('langsmith')}.jsonl")
    with tracing_context(client=sender, metadata={"tenant": "t-1"}, enabled=True):
        ask_langchain()
    _write_runs(sender, out / f"langchain_{version('langchain-core')}.jsonl")


def ask_langchain() -> None:
    """Send a system text and a question, then a follow-up turn, through LangChain's chat models."""
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    model = FakeListChatModel(responses=["A reply.", "Another."])
    first = [SystemMessage("Be kind."), HumanMessage("How is peat made?")]
    model.invoke(first)
    model.invoke([*first, AIMessage("A reply."), HumanMessage([{"type": "text", "text": "And coal?"}])])


def _write_runs(sender, path: Path) -> None:
    sender.flush()
    runs: dict[str, dict] = {}
    for address, headers, body in Upstream.sent:
        if headers.get("Content-Encoding") == "zstd":
            body = pa.CompressedInputStream(pa.BufferReader(body), "zstd").read()
        if address.endswith("/batch"):
            told = json.loads(body)
            for run in [*told.get("post", []), *told.get("patch", [])]:
                runs.setdefault(run["id"], {}).update({k: v for k, v in run.items() if v is not None})
    Upstream.sent.clear()
    path.write_text("\n".join(map(json.dumps, runs.values())) + "\n")


def mlflow(client, out: Path) -> None:
    """Record MLflow's autologging: the traces that it stores, as `Trace.to_json` writes them."""
    import tempfile

    import mlflow as ml

    with tempfile.TemporaryDirectory() as folder:
        ml.set_tracking_uri(f"sqlite:///{folder}/m.db")
        ml.openai.autolog()
        with ml.start_span("request"):
            ml.update_current_trace(
                metadata={"mlflow.trace.user": "customer-1", "mlflow.trace.session": "s-1"}
            )
            ask(client)
        ml.flush_trace_async_logging()
        traces = ml.search_traces(return_type="list", locations=["0"])
    (out / f"mlflow_{version('mlflow')}.jsonl").write_text("\n".join(t.to_json() for t in traces) + "\n")


def cut_traces(folder: Path) -> None:
    """Cut Python's stack traces, which reveal this machine and nothing of the format."""
    for path in folder.iterdir():
        text = path.read_text()
        text = re.sub(r'(\\n)*Traceback \(most recent call last\):(?:[^"\\]|\\.)*', "", text)
        path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=("openinference", "langsmith", "mlflow"))
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    from openai import OpenAI

    def client() -> OpenAI:
        return OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0)

    if told.only in (None, "openinference"):
        openinference(client(), told.out)
    if told.only in (None, "langsmith"):
        langsmith(client(), told.out, port)
    if told.only in (None, "mlflow"):
        mlflow(client(), told.out)
    server.shutdown()
    cut_traces(told.out)


if __name__ == "__main__":
    main()
