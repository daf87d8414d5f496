"""OpenTelemetry's real SDK and exporters send spans and log events to the real hooks process."""

import subprocess
from pathlib import Path

import pytest

from gateway_world import until
from hooks_world import BAN, environment, hooks

pytestmark = pytest.mark.slow
VERSION = "1.45.2"
SENDER = """
import json, sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

url, key = sys.argv[1], sys.argv[2]
how = dict(headers={"x-stillwatch-hook": key}, compression=Compression.Gzip, timeout=10)
resource = Resource.create({"service.name": "chat-app", "tenant.id": "tenant-7"})
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url + "/v1/traces", **how)))
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(url + "/v1/logs", **how)))
tracer, logger = traces.get_tracer("app"), logs.get_logger("app")
words = "how did keepers clean the lamp of a lighthouse"
for number in range(400):
    with tracer.start_as_current_span("agent") as above:
        above.set_attribute("gen_ai.operation.name", "invoke_agent")
        with tracer.start_as_current_span("chat gpt-4o") as span:
            for name, value in {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
                "gen_ai.request.seed": number, "gen_ai.usage.input_tokens": 8,
                "gen_ai.usage.output_tokens": 20, "gen_ai.response.finish_reasons": ["stop"],
            }.items():
                span.set_attribute(name, value)
            if number % 2:
                said = [{"role": "user", "parts": [{"type": "text", "content": words}]}]
                span.set_attribute("gen_ai.input.messages", json.dumps(said))
            else:
                logger.emit(LogRecord(
                    timestamp=time.time_ns(), event_name="gen_ai.user.message", body={"content": words},
                    attributes={"gen_ai.system": "openai"},
                ))
traces.shutdown()
logs.shutdown()
"""


def test_the_sdk_sends_spans_and_their_words(tmp_path: Path) -> None:
    """Half of the calls have their text in the span, half in a log event that arrives in another request."""
    wanted = (f"opentelemetry-sdk=={VERSION}", f"opentelemetry-exporter-otlp-proto-http=={VERSION}")
    python = environment(f"otlp-{VERSION}", *wanted) / "python"
    (tmp_path / "sender.py").write_text(SENDER)
    with hooks(BAN, recorder=False) as h:
        words = [str(python), str(tmp_path / "sender.py"), h.url, h.secret_key]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "rror" not in done.stderr, done.stderr  # an exporter only logs what went wrong
        until(lambda: len(h.rows()) >= 400, what="all calls")
        rows = h.rows()
        assert h.beat()["dead"] == 0
    assert {row["seed"] for row in rows} == set(range(400))
    assert len(rows) == 400  # agents are no calls of a model
    assert {(r["account"], r["model"], r["output_tokens"], r["prompt_words"]) for r in rows} == {
        ("tenant-7", "gpt-4o", 20, 9)
    }
    assert len({row["prompt_exact"] for row in rows}) == 1
