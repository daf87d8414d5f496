"""A realistic example of each source's format, and the special cases of each."""

import gzip
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD, formats, registry
from stillwatch.exchanges.formats.otlp import attributes
from stillwatch.exchanges.read import Rejects, read, read_accounts
from stillwatch.exchanges.registry import all_formats
from stillwatch.report.losses import losses

DATA = Path(__file__).parent / "data" / "formats"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def rows(*names: str | Path, rejects: Rejects | None = None, **more) -> list[dict]:
    paths = [DATA / name for name in names]
    found = []
    for batch in read(paths, rejects=rejects or Rejects(), now=NOW, **more):
        assert batch.schema == RECORD
        found.extend(batch.to_pylist())
    return found


def prompts(found: list[dict]) -> list[str | None]:
    return [row["prompt"] for row in found]


def test_our_record_as_jsonl_and_csv_with_aliases():
    found = rows("record.jsonl")
    assert prompts(found) == ["Name three rivers.", "Zähle bis drei.", "And to five?"]
    assert found[0]["time"] == datetime(2026, 3, 2, 8, 0, 0, 690, tzinfo=UTC)
    assert found[1]["time"] == datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC)
    assert found[1]["output_tokens"] == 7, "a number in quotes is that number"
    assert found[2]["time"] == datetime(2026, 3, 2, 8, 0, 2, 500_000, tzinfo=UTC)
    table = rows("record.csv")
    assert prompts(table) == ['Two lines,\nand a "quote"', "Plain"]
    assert [row["account"] for row in table] == ["acct-1", "acct-2"]
    assert [row["stream"] for row in table] == [True, False]


def test_accounts_from_jsonl_with_aliases():
    table = read_accounts(DATA / "accounts.jsonl", rejects=Rejects(), now=NOW)
    assert table.column("account").to_pylist() == ["acct-1", "acct-2"]
    assert table.column("permissions").to_pylist() == [["synthetic_data"], None]


def test_litellm_payload_lines_and_array():
    found = rows("litellm_payload.ndjson", "litellm_payload.json")
    assert prompts(found) == [f"Capital of {name}?" for name in ("Kenya", "Peru", "Chad", "Fiji")]
    first = found[0]
    assert first["account"].startswith("88dc28d0")
    assert (first["end_user"], first["client_ip"], first["system"]) == (
        "customer-77",
        "203.0.113.9",
        "Answer in one word.",
    )
    assert (first["tools"], first["response_format"], first["latency_ms"]) == (1, "json_object", 1500)
    assert [row["status"] for row in found] == [200, 429, 200, 200]
    assert first["completion"] == "Nairobi"


def test_litellm_spend_logs_are_utc_by_their_schema_and_mostly_without_text():
    rejects = Rejects()
    found = rows("litellm_spend_logs.csv", rejects=rejects)
    assert prompts(found) == [None, "Capital of Mali?"]
    assert found[0]["time"] == datetime(2026, 3, 2, 8, 0, 0, 250_000, tzinfo=UTC)
    assert (rejects.count, rejects.without_prompt) == (0, 1)


OTLP_PROMPTS = [
    "Weather in Paris?", "Structured any-value?", "Numbered prompt?", "OpenInference prompt?",
    "Event prompt?", "Input value prompt?", "Details event prompt?",
]  # fmt: skip


def test_otlp_dialects_and_the_join_with_log_events():
    rejects = Rejects()
    found = rows("otlp_spans.json", "otlp_logs.jsonl", rejects=rejects)
    assert prompts(found) == OTLP_PROMPTS
    assert [row["account"] for row in found] == [
        "user-a",
        "user-a",
        "service:gateway",  # gen_ai.user is the client's word
        "user-c",
        "user-d",
        "88dc",
        "user-a",
    ]
    assert found[2]["end_user"] == "user-b"
    assert found[0]["system"] == "Be a guide."
    assert found[0]["turn"] == 2
    assert found[0]["tools"] == 1
    assert [row["completion"] for row in found][:3] == ["Rainy.", "Yes.", "Numbered answer."]
    assert [row["input_tokens"] for row in found][:4] == [14, 14, 9, 11]
    assert found[6]["status"] == 500
    assert rejects.count == 0
    assert rejects.aside == 5, "agent and HTTP spans, the waiting span, two log records"
    assert prompts(rows("otlp_logs.jsonl", "otlp_spans.json")) == OTLP_PROMPTS, "in either order"


def test_spans_that_real_producers_wrote_are_read_whole():
    """Written by LiteLLM 1.108.7, opentelemetry-instrumentation-openai-v2 2.3b0 and Traceloop's 0.62.4 of
    calls to a fake upstream; times moved back 240 days, LiteLLM's empty metadata and costs left out."""
    rejects = Rejects()
    litellm = rows("litellm_1.108.7_otel.jsonl", rejects=rejects)
    assert len(litellm) == 12, "one a call: the raw request and web spans are aside"
    assert rejects.count == 0
    assert len({row["account"] for row in litellm}) == 3, "the key's hash"
    assert {row["end_user"] for row in litellm} == {"eu-1", "eu-2", "eu-3", None}
    assert {row["client_ip"] for row in litellm} == {"127.0.0.1"}
    assert {row["user_agent"] for row in litellm} == {"curl/8.14.1"}
    assert {row["model"] for row in litellm} == {"team-fast", "team-claude", "emb", "nope"}, "as requested"
    assert {row["operation"] for row in litellm} == {"chat", "embeddings"}
    assert [row["status"] for row in litellm].count(400) == 1
    assert [row["tools"] for row in litellm if row["tools"]] == [1]
    assert all(row["prompt"] for row in litellm)
    assert len(rows("openai_v2_2.3b0.jsonl")) == 4


def test_what_a_client_says_of_its_user_is_no_account():
    rejects = Rejects()
    found = rows("traceloop_0.62.4.jsonl", rejects=rejects)
    assert len(found) == 5
    assert rejects.count == 0
    assert {row["account"] for row in found} == {"service:chatapp"}, "gen_ai.user is the request's own word"
    assert [row["end_user"] for row in found] == ["user-0", "user-1", "user-2", None, None]
    assert rejects.without_account == 5
    assert "5 rows of 5 name no account" in " ".join(losses(rejects, 5))


def _span_of(resource: dict, **attributes: str) -> dict:
    def pairs(found):
        return [{"key": k, "value": {"stringValue": v}} for k, v in found.items()]

    span = {
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "startTimeUnixNano": "1772000000000000000",
        "attributes": pairs({"gen_ai.request.model": "m", "gen_ai.prompt": "Hello?"} | attributes),
    }
    scope = {"spans": [span]}
    return {"resourceSpans": [{"resource": {"attributes": pairs(resource)}, "scopeSpans": [scope]}]}


def test_a_span_without_account_is_its_services_and_refused_where_nobody_named_the_service(tmp_path):
    def read_one(obj):
        rejects = Rejects()
        (tmp_path / "a").write_text(json.dumps(obj))
        try:
            return [row["account"] for row in rows(tmp_path / "a", rejects=rejects)], rejects
        except InputError:
            return [], rejects

    named = {"service.name": "shop"}
    for client_says in ("gen_ai.user", "llm.user"):
        assert read_one(_span_of(named, **{client_says: "ceo"}))[0] == ["service:shop"]
    for owner_says in ("account.id", "metadata.user_api_key_hash", "metadata.user_api_key_team_id"):
        assert read_one(_span_of(named, **{owner_says: "a-1"}))[0] == ["a-1"]
    for nobody in ({}, {"service.name": ""}, {"service.name": "unknown_service:python"}):
        found, rejects = read_one(_span_of(nobody, **{"gen_ai.user": "ceo"}))
        assert found == []
        assert "--map account=ATTRIBUTE" in rejects.examples[0]


def _protobuf(obj: dict) -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def put(into, value):
        ((kind, inner),) = value.items()
        if kind == "arrayValue":
            into.array_value.SetInParent()
            for part in inner["values"]:
                put(into.array_value.values.add(), part)
        elif kind == "kvlistValue":
            pairs(into.kvlist_value.values, inner["values"])
        else:
            name = {"stringValue": "string_value", "intValue": "int_value", "doubleValue": "double_value"}[
                kind
            ]
            setattr(into, name, int(inner) if kind == "intValue" else inner)

    def pairs(into, found):
        for pair in found:
            added = into.add()
            added.key = pair["key"]
            put(added.value, pair["value"])

    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    for block in obj.get("resourceSpans", []):
        target = traces.resource_spans.add()
        pairs(target.resource.attributes, block["resource"]["attributes"])
        for span in block["scopeSpans"][0]["spans"]:
            made = target.scope_spans.add().spans.add()
            made.trace_id, made.span_id = bytes.fromhex(span["traceId"]), bytes.fromhex(span["spanId"])
            made.start_time_unix_nano = int(span["startTimeUnixNano"])
            made.end_time_unix_nano = int(span["endTimeUnixNano"])
            made.status.code = span["status"]["code"]
            pairs(made.attributes, span["attributes"])
            for event in span["events"]:
                noted = made.events.add()
                noted.name, noted.time_unix_nano = event["name"], int(event["timeUnixNano"])
                pairs(noted.attributes, event["attributes"])
    for block in obj.get("resourceLogs", []):
        target = logs.resource_logs.add()
        for record in block["scopeLogs"][0]["logRecords"]:
            made = target.scope_logs.add().log_records.add()
            made.trace_id, made.span_id = bytes.fromhex(record["traceId"]), bytes.fromhex(record["spanId"])
            made.time_unix_nano, made.event_name = int(record["timeUnixNano"]), record["eventName"]
            pairs(made.attributes, record["attributes"])
    return traces.SerializeToString() + logs.SerializeToString()


@pytest.mark.parametrize("framed", [False, True], ids=["plain", "collector-framed"])
def test_otlp_protobuf_says_the_same_as_json(tmp_path, framed):
    spans = _protobuf(json.loads((DATA / "otlp_spans.json").read_text()))
    logs = _protobuf(json.loads((DATA / "otlp_logs.jsonl").read_text()))
    frames = [len(part).to_bytes(4, "big") + part if framed else part for part in (spans, logs)]
    (tmp_path / "a").write_bytes(b"".join(frames))
    rejects = Rejects()
    assert rows(tmp_path / "a", rejects=rejects) == rows("otlp_spans.json", "otlp_logs.jsonl")
    assert rejects.count == 0
    (tmp_path / "a").write_bytes(b"".join(frames)[:-30])
    cut = Rejects()
    assert prompts(rows(tmp_path / "a", rejects=cut))[:6] == OTLP_PROMPTS[:6]
    assert cut.count == 1


def test_otlp_protobuf_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(_protobuf(json.loads((DATA / "otlp_spans.json").read_text())))
    monkeypatch.delitem(sys.modules, "stillwatch.exchanges.formats.otlp_protobuf", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.logs.v1.logs_service_pb2", None)
    with pytest.raises(InputError, match=r"pip install 'stillwatch\[otlp\]'"):
        rows(tmp_path / "a")


def _span(**found: str) -> dict:
    pairs = [
        {"key": k, "value": {"stringValue": v}}
        for k, v in ({"user.id": "u", "llm.model_name": "m"} | found).items()
    ]
    span = {
        "traceId": "a" * 32,
        "spanId": "b" * 16,
        "startTimeUnixNano": "1772438400000000000",
        "attributes": pairs,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


@pytest.mark.parametrize(
    "prompt", ["[1, 2, 3]", '{"a": 1, "a": 2}', '[{"k": 1, "k": 2}]', '{"text": 5}', "[", '["x"']
)
@pytest.mark.parametrize(
    "name", ["gen_ai.prompt.0.content", "input.value", "llm.input_messages.0.message.content"]
)
def test_a_prompt_that_is_json_itself_stays_a_prompt(tmp_path, prompt, name):
    more = {"llm.input_messages.0.message.role": "user"} if name.startswith("llm.") else {}
    (tmp_path / "log").write_text(json.dumps(_span(**{name: prompt}, **more)))
    assert prompts(rows(tmp_path / "log")) == [prompt]


def test_a_value_deeper_than_a_format_walks_is_refused(tmp_path):
    deep = '{"arrayValue":{"values":[' * 150 + '{"intValue":"1"}' + "]}}" * 150
    bad = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"x","value":' + deep + "}]}]}]}]}"
    for times in (1, 2):
        bad = bad if times == 1 else bad.replace(deep, deep.replace('{"intValue":"1"}', deep))
        (tmp_path / "log").write_text(bad + "\n" + json.dumps(_span(**{"input.value": "x"})) + "\n")
        rejects = Rejects()
        assert prompts(rows(tmp_path / "log", rejects=rejects)) == ["x"]
        assert rejects.count + rejects.aside == 1


def test_redacted_messages_are_no_prompt(tmp_path):
    payload = json.loads((DATA / "litellm_payload.ndjson").read_text().splitlines()[0])
    payload |= {
        "messages": [{"role": "user", "content": "redacted-by-litellm"}],
        "response": "redacted-by-litellm",
    }
    (tmp_path / "log").write_text(json.dumps(payload))
    (row,) = rows(tmp_path / "log")
    assert row["prompt"] is None
    assert row["completion"] is None


def test_otlp_any_values():
    assert attributes([{"key": "n", "value": {"intValue": "7"}}, {"key": "x"}, "junk"]) == {"n": 7, "x": None}


def test_azure_pieces_are_put_together_and_joined_with_their_caller():
    rejects = Rejects()
    found = rows("azure_apim.jsonl", rejects=rejects)
    assert [row["account"] for row in found] == ["sub-contoso", "sub-fabrikam", "sub-contoso"]
    assert found[0]["prompt"] == "Sort these names: " + "Ada, Bob, " * 30
    assert (found[0]["system"], found[0]["completion"], found[0]["client_ip"]) == (
        "You are a clerk.", "Ada, Bob.", "198.51.100.7",
    )  # fmt: skip
    assert found[2]["prompt"] == "Logged by the gateway itself."
    assert rejects.count == 1
    assert "azure_apim.jsonl:7: exchange c-3" in rejects.examples[0]


def test_azure_tables_join_across_files_in_any_order(tmp_path):
    lines = (DATA / "azure_apim.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "1").write_text("".join(lines[::-2]))
    (tmp_path / "2").write_text("".join(lines[-2::-2]))
    assert rows(tmp_path / "2", tmp_path / "1") == rows("azure_apim.jsonl")


def test_azure_with_a_piece_missing_keeps_the_row_without_a_prompt(tmp_path):
    lines = (DATA / "azure_apim.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "log").write_text("".join(lines[1:4]))  # the second half of the request is gone
    rejects = Rejects()
    assert prompts(rows(tmp_path / "log", rejects=rejects)) == [None]
    assert rejects.without_prompt == 1


def test_azure_openai_diagnostics_have_no_text_and_are_kept_for_volume_and_timing():
    rejects = Rejects()
    found = rows("azure_openai_diagnostics.json", rejects=rejects)
    assert prompts(found) == [None, None]
    assert rejects.without_prompt == 2
    assert rejects.aside == 1
    assert found[0]["account"] == "9f1c-entra"
    assert found[1]["account"].endswith("/ACCOUNTS/AOAI-1")
    assert [row["latency_ms"] for row in found] == [1021, None], "a negative duration is none"
    assert [row["status"] for row in found] == [200, 429]


def test_bedrock_bodies_of_each_provider_and_operation():
    found = rows("bedrock.jsonl")
    kinds = ["Converse", "Claude", "Streamed", "Llama", "Titan", "ConverseStream"]
    assert prompts(found) == [f"{kind} prompt?" for kind in kinds] + [None]
    assert [row["completion"] for row in found] == [f"{kind} answer." for kind in kinds] + [None]
    assert found[0]["account"] == "arn:aws:sts::123456789012:assumed-role/AppRole"
    assert [row["end_user"] for row in found][:2] == ["tenant-5", "session-5"]
    assert [row["stream"] for row in found] == [False, False, True, False, False, True, False]
    assert found[6]["status"] == 429
    assert found[6]["account"].endswith(":user/ann")
    assert [row["max_tokens"] for row in found][:5] == [512, 200, 200, 128, 64]


def test_openai_pairs_and_batch_lines():
    found = rows("openai_pairs.jsonl", "openai_batch.jsonl")
    assert prompts(found) == [
        "Pair prompt?", "Responses prompt?", "Anthropic prompt?", "Batch prompt 0?", "Batch prompt 1?",
    ]  # fmt: skip
    assert [row["completion"] for row in found] == [
        "Pair answer.", "Responses answer.", "Anthropic answer.", "Batch answer 0.", "Batch answer 1.",
    ]  # fmt: skip
    pair = found[0]
    assert (pair["n"], pair["seed"], pair["top_logprobs"], pair["tools"]) == (2, 11, 5, 2)
    assert (pair["system"], pair["response_format"]) == ("Be terse.", "json_schema")
    assert [row["reasoning_tokens"] for row in found][:2] == [0, 32]
    assert [row["operation"] for row in found] == ["chat"] * 5


def test_what_other_gateways_write_as_pairs():
    databricks, gemini, flat, batch = rows("gateway_pairs.jsonl")
    assert (databricks["prompt"], databricks["account"]) == ("Databricks prompt?", "someone@corp.example")
    assert (databricks["exchange_id"], databricks["latency_ms"], databricks["status"]) == ("db-1", 512, 200)
    assert (gemini["prompt"], gemini["system"], gemini["completion"]) == (
        "Gemini prompt?", "Be brief.", "Gemini answer.",
    )  # fmt: skip
    assert (gemini["max_tokens"], gemini["top_p"], gemini["reasoning_tokens"]) == (128, 0.9, 9)
    assert (gemini["finish_reason"], gemini["model"]) == ("length", "gemini-2.5-flash")
    assert (flat["prompt"], flat["system"], flat["completion"]) == ("Flat prompt?", "Flat.", "Flat answer.")
    assert (flat["temperature"], flat["output_tokens"], flat["operation"]) == (0, 3, "chat")
    assert (batch["prompt"], batch["completion"]) == ("Batch of Anthropic?", "Anthropic batch answer.")
    assert (batch["max_tokens"], batch["output_tokens"], batch["finish_reason"]) == (1024, 6, "end_turn")


def test_helicone_with_bodies_as_objects_and_as_text():
    first, second = rows("helicone.jsonl")
    assert (first["prompt"], first["completion"], first["account"]) == (
        "Helicone prompt?", "Helicone answer.", "cust-9",
    )  # fmt: skip
    assert (first["status"], first["latency_ms"], first["output_tokens"]) == (200, 700, 6)
    assert (second["prompt"], second["status"]) == ("Helicone prompt two?", None)  # -3: cancelled, no status


def test_langfuse_of_the_api_and_of_the_blob_export():
    rejects = Rejects()
    api, blob = rows("langfuse.jsonl", rejects=rejects)
    assert rejects.aside == 1  # a span of the application
    assert (api["prompt"], api["system"], api["completion"]) == (
        "Langfuse prompt?", "Be kind.", "Langfuse answer.",
    )  # fmt: skip
    assert (api["account"], api["end_user"], api["tools"], api["output_tokens"]) == ("hash-7", "u-1", 1, 5)
    assert (blob["prompt"], blob["completion"], blob["account"]) == ("Blob prompt?", "Blob answer.", "u-2")
    assert blob["time"] == datetime(2026, 3, 2, 8, 0, 9, 250_000, UTC)
    assert (blob["status"], blob["conversation"], blob["temperature"]) == (500, "s-2", 0)


def test_kong_logs_its_payloads():
    rejects = Rejects()
    (found,) = rows("kong.jsonl", rejects=rejects)
    assert rejects.aside == 1  # no call of a model
    assert (found["prompt"], found["account"], found["client_ip"]) == ("Kong prompt?", "c-4", "192.0.2.7")
    assert (found["model"], found["latency_ms"], found["operation"]) == ("gpt-4o", 644, "chat")


def test_apisix_with_bodies_or_with_payloads_of_its_ai_proxy():
    rejects = Rejects()
    body, payload = rows("apisix.jsonl", rejects=rejects)
    assert (body["prompt"], body["system"], body["completion"]) == (
        "APISIX prompt?", "Be brief.", "APISIX answer.",
    )  # fmt: skip
    assert (body["account"], body["client_ip"], body["user_agent"]) == (
        "team_blue", "203.0.113.8", "python-httpx/0.28",
    )  # fmt: skip
    assert (body["model"], body["input_tokens"], body["output_tokens"], body["latency_ms"]) == (
        "m-1",
        9,
        3,
        811,
    )
    assert (payload["prompt"], payload["completion"], payload["model"]) == (
        "APISIX payload?", "Payload answer.", "m-2",
    )  # fmt: skip
    assert (payload["input_tokens"], payload["output_tokens"], payload["status"]) == (7, 2, 200)
    assert rejects.count == 1
    assert "consumer is empty" in rejects.examples[0]


def test_braintrust_counts_calls_of_a_model_and_never_takes_its_own_organisation_for_a_payer():
    rejects = Rejects()
    (found,) = rows("braintrust.jsonl", rejects=rejects)
    assert (rejects.aside, rejects.count) == (1, 1)
    assert (found["account"], found["conversation"], found["model"]) == ("t-7", "c-1", "m-1")
    assert (found["prompt"], found["system"], found["completion"]) == (
        "Braintrust prompt?", "Be brief.", "Braintrust answer.",
    )  # fmt: skip
    assert (found["input_tokens"], found["output_tokens"], found["reasoning_tokens"]) == (11, 4, 1)
    assert (found["latency_ms"], found["finish_reason"], found["temperature"]) == (750, "stop", 0.3)
    assert found["time"] == datetime(2026, 3, 2, 8, 0, 0, 500_000, tzinfo=UTC)
    assert [row["account"] for row in rows("braintrust.jsonl", mapping={"account": "metadata.who"})] == [
        "t-7", "t-9",
    ]  # fmt: skip


OBSERVATION = {
    "id": "o-1", "traceId": "t-1", "type": "GENERATION", "startTime": "2026-03-02T08:00:00.000Z",
    "input": [{"role": "user", "content": "Peat?"}], "output": {"role": "assistant", "content": "Soil."},
    "providedModelName": "m-1", "promptTokens": 5, "completionTokens": 2, "metadata": {"who": "w-1"},
}  # fmt: skip
TRACE = {
    "id": "t-1", "timestamp": "2026-03-02T08:00:00.000Z", "input": "Peat?", "output": "Soil.",
    "userId": "u-1", "sessionId": "s-1", "metadata": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "lines", [[OBSERVATION, TRACE], [TRACE, OBSERVATION], [TRACE | {"observations": [OBSERVATION]}]]
)
def test_langfuse_names_the_user_in_the_trace_only(tmp_path, lines):
    """As its API and its older exports write it: joined over files, in any order."""
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)))
    rejects = Rejects()
    (found,) = rows(tmp_path / "log", rejects=rejects)
    assert (found["account"], found["conversation"], found["exchange_id"]) == ("u-1", "s-1", "o-1")
    assert (found["model"], found["input_tokens"], found["output_tokens"]) == ("m-1", 5, 2)
    assert rejects.count == 0


def test_langfuse_without_any_user_says_so_and_takes_the_owner_s_name(tmp_path):
    (tmp_path / "log").write_text(json.dumps(OBSERVATION))
    with pytest.raises(InputError, match="userId is empty"):
        rows(tmp_path / "log")
    (found,) = rows(tmp_path / "log", mapping={"account": "metadata.who"})
    assert found["account"] == "w-1"


def test_times_of_utc_columns_in_parquet_and_of_clickhouse(tmp_path):
    at = datetime(2026, 3, 2, 8)  # noqa: DTZ001 - that is how the column has it
    run = {"run_type": "llm", "inputs": json.dumps({"messages": TALK}), "start_time": at,
           "extra": json.dumps({"metadata": {"tenant": "a"}})}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([run]), tmp_path / "runs")
    body = json.dumps({"messages": TALK})
    row = {"request_id": "r", "request_created_at": "2026-03-02 08:00:00.000", "user_id": "a",
           "request_body": body, "status": 200}  # fmt: skip
    (tmp_path / "rows").write_text(json.dumps(row))
    doubled = body.replace('"', '""').replace('"', '""')
    (tmp_path / "export.csv").write_text(
        f'response_status,request_created_at,request_body,request_user_id\n"200","2026-03-02T08:00:00Z","{doubled}","a"\n'
    )
    for name in ("runs", "rows", "export.csv"):
        (found,) = rows(tmp_path / name)
        assert found["time"] == at.replace(tzinfo=UTC)
        assert (found["account"], found["prompt"], found["status"]) == ("a", "Peat?", 200)


def test_vertex_s_older_columns_and_numeric_ids(tmp_path):
    asked = {"contents": [{"role": "user", "parts": [{"text": "Peat?"}]}], "labels": {"customer": "c-1"}}
    answer = {"candidates": [{"content": {"parts": [{"text": "Soil."}]}}]}
    row = {"logging_time": datetime(2026, 3, 2, 8, tzinfo=UTC), "request_id": Decimal(7),
           "request_payload": [json.dumps(asked)], "response_payload": [json.dumps(answer)]}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "log")
    (found,) = rows(tmp_path / "log", mapping={"account": "request_payload.0.labels.customer"})
    assert (found["account"], found["prompt"], found["completion"]) == ("c-1", "Peat?", "Soil.")
    assert found["exchange_id"] == "7"


@pytest.mark.parametrize("streamed", [True, False])
def test_litellm_s_passed_through_requests_are_read_as_bodies(tmp_path, streamed):
    """It logs the whole body as one message's text: no prompt to compare."""
    body = {"model": "claude-x", "system": "Brief.", "max_tokens": 9, "messages": TALK[1:]}
    answer = {"content": [{"type": "text", "text": "Soil."}], "stop_reason": "end_turn"}
    line = {
        "id": "i", "call_type": "pass_through_endpoint", "startTime": 1772438401.0, "endTime": 1772438402.0,
        "messages": [{"role": "user", "content": json.dumps(body)}],
        "response": {"response": sse(*STREAMS["messages"])} if streamed else answer, "status": "success",
        "metadata": {"user_api_key_hash": "h-1"}, "prompt_tokens": 5, "completion_tokens": 2,
    }  # fmt: skip
    (tmp_path / "log").write_text(json.dumps(line))
    (found,) = rows(tmp_path / "log")
    assert (found["account"], found["system"], found["prompt"]) == ("h-1", "Brief.", "Peat?")
    assert (found["operation"], found["max_tokens"], found["completion"]) == ("chat", 9, "Soil.")
    assert found["finish_reason"] == ("stop" if streamed else "end_turn")


def test_mlflow_s_table_of_traces_is_read_like_its_traces(tmp_path):
    traces = (DATA / "mlflow_3.17.2.jsonl").read_text().splitlines()
    table = [{"trace_id": "t", "trace_metadata": {"a": "b"}, "trace": trace}
             for trace in traces]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "log")
    assert prompts(rows(tmp_path / "log")) == prompts(rows("mlflow_3.17.2.jsonl"))
    (tmp_path / "log").write_text(json.dumps(table[0] | {"trace": None}))
    with pytest.raises(InputError, match="include_spans=True"):
        rows(tmp_path / "log")


def test_a_span_about_memory_is_no_call_of_a_model(tmp_path):
    pairs = {"gen_ai.operation.name": "search_memory", "gen_ai.request.model": "m", "account.id": "a"}
    span = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "1772438401000000000", "attributes": [
        {"key": key, "value": {"stringValue": value}} for key, value in pairs.items()]}  # fmt: skip
    (tmp_path / "log").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    rejects = Rejects()
    assert rows(tmp_path / "log", rejects=rejects) == []
    assert rejects.aside == 1


def test_a_pair_without_an_account_says_what_stands_beside_it(tmp_path):
    line = {"created_at": AT, "metadata": {"team": "t"}, "request": {"messages": TALK}, "response": ANSWER}
    (tmp_path / "log").write_text(json.dumps(line))
    with pytest.raises(InputError, match=r"--map account=COLUMN, of 'created_at', 'metadata\.team'"):
        rows(tmp_path / "log")
    assert rows(tmp_path / "log", mapping={"account": "metadata.team"})[0]["account"] == "t"


def test_an_access_log_names_a_key_and_never_holds_it():
    first, second = rows("nginx.jsonl")
    assert first["account"].startswith("key_")
    assert len(first["account"]) == 20
    assert "sk-test" not in str(first)
    assert (first["prompt"], first["status"], first["latency_ms"]) == ("nginx prompt?", 200, 532)
    assert (second["account"], second["operation"]) == ("team-b", "text_completion")
    assert second["time"] == datetime(2026, 3, 2, 8, 0, 2, tzinfo=UTC)


def sse(*events: dict) -> str:
    return "".join(f"event: x\ndata: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


COUNTS = {"prompt_tokens": 5, "completion_tokens": 2}
STREAMS = {
    "chat": [
        {"id": "c", "model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "So"}}], "usage": None},
        {"choices": [{"delta": {"content": "il."}, "finish_reason": "stop"}]},
        {"choices": [], "usage": COUNTS},
    ],
    "messages": [
        {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 5}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "il."}},
        {"type": "message_delta", "delta": {"stop_reason": "stop"}, "usage": {"output_tokens": 2}},
    ],
    "responses": [
        {"type": "response.output_text.delta", "delta": "So"},
        {"type": "response.completed", "response": {
            "status": "completed", "usage": {"input_tokens": 5, "output_tokens": 2},
            "incomplete_details": {"reason": "stop"},
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "Soil."}]}]}},
    ],
    "gemini": [
        {"candidates": [{"content": {"parts": [{"text": "x", "thought": True}, {"text": "So"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "il."}]}, "finishReason": "STOP"}],
         "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("written", ["text", "list", "helicone"])
@pytest.mark.parametrize("api", STREAMS)
def test_an_answer_that_came_as_a_stream_is_put_together(tmp_path, api, written):
    talk = [{"role": "user", "parts" if api == "gemini" else "content": [{"text": "Peat?"}]}]
    request = {"contents" if api == "gemini" else "messages": talk, "stream": True}
    events = STREAMS[api]
    answer = {"text": sse(*events), "list": events, "helicone": {"streamed_data": sse(*events)}}[written]
    line = {"time": AT, "account": "a", "request": json.dumps(request), "response": answer}
    (tmp_path / "log").write_text(json.dumps(line))
    (found,) = rows(tmp_path / "log")
    assert (found["prompt"], found["completion"], found["finish_reason"]) == ("Peat?", "Soil.", "stop")
    assert (found["input_tokens"], found["output_tokens"]) == (5, 2)


TALK = [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Peat?"}]
ANSWER = {"choices": [{"message": {"content": "Soil."}}], "usage": COUNTS}
PAIRS_OF_ONES_OWN = {
    "bodies in texts": {"request_body": json.dumps({"messages": TALK}), "response_body": json.dumps(ANSWER)},
    "another case": {"apiKeyId": "a", "requestBody": {"messages": TALK}, "responseBody": ANSWER},
    "an access log's": {"req": {"body": {"messages": TALK}}, "res": {"statusCode": 200, "body": ANSWER}},
    "input and output": {"input": {"messages": TALK}, "output": ANSWER},
    "messages beside a text": {"messages": TALK, "response": "Soil.", "usage": COUNTS},
    "a prompt beside an answer": {"prompt": TALK, "output": ANSWER, "usage": COUNTS},
    "Portkey": {"request": {"body": {"messages": TALK}}, "response": {"body": {"choices": ANSWER["choices"]}},
                "req_units": 5, "res_units": 2, "ai_model": "m"},
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS_OF_ONES_OWN)
def test_requests_and_answers_under_the_usual_names(tmp_path, name):
    line = {"timestamp": AT, "account": "a"} | PAIRS_OF_ONES_OWN[name]
    if "apiKeyId" in line:
        line.pop("account")
    (tmp_path / "log").write_text(json.dumps(line))
    (found,) = rows(tmp_path / "log")
    assert (found["account"], found["system"], found["prompt"]) == ("a", "Brief.", "Peat?")
    assert (found["completion"], found["input_tokens"], found["output_tokens"]) == ("Soil.", 5, 2)


AT = "2026-03-02T08:00:01Z"
OBJ = {"account": "a", "prompt": "Inside?"}
AROUND = {
    "docker": json.dumps({"log": json.dumps(OBJ) + "\n", "stream": "stdout", "time": AT}),
    "google": json.dumps({"timestamp": AT, "jsonPayload": OBJ, "insertId": "1"}),
    "cloudwatch": json.dumps({"timestamp": 1772438401000, "message": json.dumps(OBJ)}),
    "elastic": json.dumps({"hits": {"hits": [{"_source": OBJ | {"@timestamp": AT}}]}}),
    "splunk": json.dumps({"time": 1772438401.0, "host": "h", "event": OBJ}),
    "page": json.dumps({"object": "list", "data": [OBJ | {"ts": AT}]}, indent=1),
    "kubernetes": f"{AT} stdout F " + json.dumps(OBJ | {"ts": AT}),
    "syslog": "Mar  2 08:00:01 host app[7]: " + json.dumps(OBJ | {"ts": AT}),
    "insights": json.dumps(
        {
            "results": [
                [
                    {"field": "@timestamp", "value": "2026-03-02 08:00:01.000"},
                    {"field": "@message", "value": json.dumps(OBJ)},
                ]
            ]
        }
    ),
    "loki": json.dumps(
        {"data": {"result": [{"stream": {"app": "x"}, "values": [["1772438401000000000", json.dumps(OBJ)]]}]}}
    ),
    "journald": json.dumps({"__REALTIME_TIMESTAMP": "1772438401000000", "MESSAGE": json.dumps(OBJ)}),
    "words inside": json.dumps({"log": "INFO: " + json.dumps(OBJ) + "\n", "time": AT}),
    "a list of its own name": json.dumps({"requests": [OBJ | {"ts": AT}], "next": None}),
    "json-seq": "\x1e" + json.dumps(OBJ | {"ts": AT}),
}


def test_a_key_twice_in_a_body_that_the_client_wrote_hides_no_exchange(tmp_path):
    line = json.loads((DATA / "nginx.jsonl").read_text().splitlines()[0])
    line["request_body"] = '{"model": "x", ' + line["request_body"][1:]
    (tmp_path / "log").write_text(json.dumps(line))
    (found,) = rows(tmp_path / "log")
    assert (found["prompt"], found["model"]) == ("nginx prompt?", "m-1")


@pytest.mark.parametrize("shipper", AROUND)
def test_what_a_shipper_put_around_a_record_is_opened(tmp_path, shipper):
    (tmp_path / "log").write_text(AROUND[shipper] + "\n")
    (found,) = rows(tmp_path / "log")
    assert (found["prompt"], found["account"]) == ("Inside?", "a")
    assert found["time"] == datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC)


def test_cloudwatch_through_firehose_has_no_line_ends(tmp_path):
    lines = (DATA / "bedrock.jsonl").read_text().splitlines()
    events = [{"id": str(k), "timestamp": 1772438401000, "message": line} for k, line in enumerate(lines)]
    parts = [{"messageType": "DATA_MESSAGE", "logEvents": [event]} for event in events]
    (tmp_path / "log").write_bytes(gzip.compress("".join(map(json.dumps, parts)).encode()))
    assert prompts(rows(tmp_path / "log")) == prompts(rows("bedrock.jsonl"))


def test_prompts_as_messages_or_parts(tmp_path):
    own = {"time": "2026-03-02T08:00:01Z", "account": "a"}
    talk = [{"role": "system", "content": "S."}, {"role": "user", "content": "One?"}]
    lines = [own | {"prompt": talk}, own | {"prompt": [{"type": "text", "text": "Two?"}]}]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)))
    first, second = rows(tmp_path / "log")
    assert (first["prompt"], first["system"], first["turn"]) == ("One?", "S.", 1)
    assert (second["prompt"], second["system"]) == ("Two?", None)
    pq.write_table(pa.Table.from_pylist([own | {"prompt": talk}]), tmp_path / "p")
    assert prompts(rows(tmp_path / "p")) == ["One?"]
    pq.write_table(pa.Table.from_pylist([own | {"messages": talk, "output_tokens": 3}]), tmp_path / "p")
    (found,) = rows(tmp_path / "p")
    assert (found["prompt"], found["system"], found["output_tokens"]) == ("One?", "S.", 3)


@pytest.mark.parametrize("key", ["messages", "model"])
def test_a_request_key_given_twice_is_refused(tmp_path, key):
    line = (DATA / "openai_pairs.jsonl").read_text().splitlines()[0]
    hidden = json.dumps(key)[:-2] + f"\\u{ord(key[-1]):04x}" + '"'
    bad = line.replace('"request": {', '"request": {' + hidden + ' : "x", ', 1)
    (tmp_path / "log").write_text(bad + "\n" + line + "\n")
    rejects = Rejects()
    assert len(rows(tmp_path / "log", rejects=rejects)) == 1
    assert f"key '{key}' appears twice" in rejects.examples[0]


def test_every_format_is_packed_named_and_mixed_at_will(tmp_path):
    """Gzip of two members, zstd of two frames, misleading names, all in one folder."""
    files = sorted(p for p in DATA.iterdir() if p.name not in ("accounts.jsonl",))
    plain = rows(*files)
    for number, file in enumerate(files):
        raw = file.read_bytes()
        half = len(raw) // 2
        if number % 2:
            packed = gzip.compress(raw[:half]) + gzip.compress(raw[half:])
        else:
            packed = b"".join(
                pa.compress(part, codec="zstd", asbytes=True) for part in (raw[:half], raw[half:])
            )
        (tmp_path / "in" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "deep" / f"{number:02d}.parquet").write_bytes(packed)
    rejects = Rejects()
    assert rows(tmp_path / "in", rejects=rejects) == plain
    # the Azure exchange without a caller; Vertex's, Cloudflare's, one of APISIX's and Braintrust's name none
    assert rejects.count == 7


def test_other_formats_as_parquet(tmp_path):
    lines = [json.loads(line) for line in (DATA / "litellm_payload.ndjson").read_text().splitlines()]
    pq.write_table(
        pa.Table.from_pylist([{k: v for k, v in line.items() if v is not None} for line in lines]),
        tmp_path / "p",
    )
    assert prompts(rows(tmp_path / "p")) == ["Capital of Kenya?", "Capital of Peru?"]


def test_formats_are_found_and_do_not_claim_each_others_objects():
    names = [f.name for f in all_formats()]
    assert len(names) == len(set(names)) == 22
    assert names[-1] == "Stillwatch record"


def test_the_worked_example_in_the_docs_reads_its_format(tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "docs" / "exchanges.md").read_text()
    code = next(block for block in text.split("```python\n") if block.startswith('"""Our proxy')).split(
        "```"
    )[0]
    scope: dict[str, object] = {}
    exec(compile(code, "docs/exchanges.md", "exec"), scope)
    monkeypatch.setattr(registry, "all_formats", lambda: (scope["FORMAT"], *all_formats()))
    body = {"model": "m", "messages": [{"role": "user", "content": "From the docs?"}]}
    line = {"proxied_at": "2026-03-02T08:00:00Z", "key": "u", "asked": body}
    (tmp_path / "log").write_text(json.dumps(line))
    assert prompts(rows(tmp_path / "log")) == ["From the docs?"]


def test_the_docs_name_every_column_and_format_file():
    text = (Path(__file__).parents[1] / "docs" / "exchanges.md").read_text()
    assert [name for name in RECORD.names if f"`{name}`" not in text] == []
    folder = Path(formats.__file__).parent
    files = [f.name for f in folder.glob("*.py") if f.name not in ("__init__.py", "otlp_protobuf.py")]
    assert [name for name in files if f"formats/{name}" not in text] == []


RECORDED = {  # written by benchmarks/record_logs.py: the same three calls, times moved back 240 days
    "openinference_openai_0.1.66.otlp.jsonl": ("customer-1", "OpenTelemetry GenAI"),
    "openinference_openai_0.1.66.sdk.jsonl": ("customer-1", "OpenTelemetry span"),
    "langsmith_0.15.1.jsonl": ("t-1", "LangSmith"),
    "mlflow_3.17.2.jsonl": ("customer-1", "MLflow"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_call_that_the_real_software_logged_is_read(name):
    rejects = Rejects()
    found = sorted(rows(name, rejects=rejects), key=lambda row: row["time"])
    account, kind = RECORDED[name]
    assert registry.recognise(json.loads((DATA / name).read_text().splitlines()[0])).name == kind
    assert prompts(found) == ["How is peat made?", "Stream me a poem", "refuse me"]
    assert rejects.count == 0
    assert {row["account"] for row in found} == {account}, "never what the request says of its user"
    first = found[0]
    assert (first["system"], first["completion"]) == ("Be kind.", "A reply.")
    assert (first["temperature"], first["max_tokens"]) == (0.3, 55)
    assert (first["input_tokens"], first["output_tokens"]) == (9, 3)
    assert {row["model"] for row in found} == {"gpt-4o-mini"}
    assert found[1]["stream"] is True
    assert [row["status"] for row in found] == [200, 200, 500]
    assert first["end_user"] in (None, "client-says-7")


def test_langchains_messages_are_constructors():
    """Written by langchain-core 1.8.3 (benchmarks/record_logs.py), times moved back 240 days."""
    rejects = Rejects()
    asked, again = rows("langchain_1.8.3.jsonl", rejects=rejects)
    assert rejects.count == 0
    assert (asked["account"], asked["system"], asked["prompt"]) == ("t-1", "Be kind.", "How is peat made?")
    assert (asked["completion"], again["completion"]) == ("A reply.", "Another.")
    assert (again["prompt"], again["turn"]) == ("And coal?", 2)
    assert "How is peat made?" in again["earlier"]


def test_a_client_cannot_hide_its_words_behind_a_constructor(tmp_path):
    line = json.loads((DATA / "langsmith_0.15.1.jsonl").read_text().splitlines()[1])
    line["inputs"]["messages"][0] |= {"lc": 1, "kwargs": {"type": "human", "content": "Hi"}}
    (tmp_path / "log").write_text(json.dumps(line))
    [prompt] = prompts(rows(tmp_path / "log"))
    assert prompt.startswith("Stream me a poem"), "whatever stands beside it"


def test_phoenix_tables_have_the_same_attributes_nested(tmp_path):
    talk = [
        {"message.role": "system", "message.content": "Be kind."},
        {"message": {"role": "user", "content": "Why?"}},
    ]
    line = {
        "name": "ChatCompletion",
        "span_kind": "LLM",
        "context.span_id": "a1",
        "context.trace_id": "b2",
        "start_time": "2026-03-02T09:12:00+00:00",
        "status_code": "OK",
        "attributes.openinference.span.kind": "LLM",
        "attributes.llm.model_name": "m-1",
        "attributes.llm.input_messages": talk,
        "attributes.user.id": "c-1",
    }
    rest = {
        "context": {"trace_id": "b2", "span_id": "a2"},
        "start_time": "2026-03-02T09:12:01+00:00",
        "status_code": "ERROR",
        "attributes": {
            "openinference": {"span": {"kind": "LLM"}},
            "llm": {"input_messages": talk},
            "user": {"id": "c-1"},
        },
    }
    chain = rest | {"attributes": {"openinference": {"span": {"kind": "CHAIN"}}}}
    (tmp_path / "spans").write_text("\n".join(map(json.dumps, [line, rest, chain])))
    found = rows(tmp_path / "spans")
    assert [(r["account"], r["system"], r["prompt"], r["status"]) for r in found] == [
        ("c-1", "Be kind.", "Why?", 200),
        ("c-1", "Be kind.", "Why?", 500),
    ]


def test_langfuse_traces_count_once_and_only_without_their_generations(tmp_path):
    found = rows("langfuse_traces.csv")
    assert [(r["account"], r["system"], r["prompt"], r["completion"]) for r in found] == [
        ("cust-4", "Be brief.", "Why do leaves fall?", "Less light."),
        ("cust-5", None, '"And needles?"', '"They stay."'),
    ]
    line = {
        "id": "ob-1",
        "traceId": "tr-1",
        "type": "GENERATION",
        "startTime": "2026-03-02 09:12:00",
        "userId": "cust-4",
    }
    line |= {"input": "Why do leaves fall?", "output": "Less light."}
    (tmp_path / "o.jsonl").write_text(json.dumps(line))
    for order in (1, -1):
        both = rows(*[tmp_path / "o.jsonl", DATA / "langfuse_traces.csv"][::order])
        assert sorted(row["exchange_id"] for row in both) == ["ob-1", "tr-2"]


@pytest.mark.parametrize(
    ("name", "path", "accounts"),
    [
        ("vertex_bigquery.jsonl", "full_request.labels.customer", ["c-17", "c-18"]),
        ("cloudflare.jsonl", "Metadata.customer", ["c-21"]),
        ("cloudflare.jsonl", "metadata.customer", ["c-22"]),
    ],
)
def test_a_log_that_names_no_account_is_refused_until_the_owner_names_one(name, path, accounts):
    rejects = Rejects()
    with pytest.raises(InputError, match="--map account="):
        rows(name, rejects=rejects)
    found = rows(name, mapping={"account": path})
    assert [row["account"] for row in found] == accounts


def test_vertex_and_cloudflare_fields():
    gemini, claude = rows("vertex_bigquery.jsonl", mapping={"account": "full_request.labels.customer"})
    assert (gemini["prompt"], gemini["system"], gemini["completion"]) == (
        "How do tides work?",
        "Be brief.",
        "The moon pulls.",
    )
    assert (gemini["model"], gemini["temperature"], gemini["max_tokens"]) == ("gemini-2.5-flash", 0.4, 256)
    assert (gemini["input_tokens"], gemini["output_tokens"], gemini["latency_ms"]) == (6, 4, 812)
    assert (claude["prompt"], claude["completion"], claude["max_tokens"]) == (
        "Name a strait.",
        "Bosporus.",
        64,
    )
    [pushed] = rows("cloudflare.jsonl", mapping={"account": "Metadata.customer"})
    assert (pushed["prompt"], pushed["model"], pushed["latency_ms"]) == (None, "cloudflare/auto", 1234)
    [listed] = rows("cloudflare.jsonl", mapping={"account": "metadata.customer"})
    assert (listed["prompt"], listed["completion"]) == ("Where is Ghent?", "In Belgium.")
    assert (listed["input_tokens"], listed["output_tokens"], listed["status"]) == (11, 4, 200)


def test_portkey_without_a_key_is_read_once_the_owner_names_who_pays(tmp_path):
    line = {
        "id": "l-1",
        "created_at": "2026-03-02T09:12:00Z",
        "request": json.dumps({"model": "m", "messages": [{"role": "user", "content": "What is a fen?"}]}),
        "response": json.dumps({"choices": [{"message": {"content": "A mire."}}]}),
        "metadata": {"tenant_code": "t-3"},
        "response_status_code": 200,
    }
    (tmp_path / "log").write_text(json.dumps(line))
    with pytest.raises(InputError, match="--map account=COLUMN"):
        rows(tmp_path / "log")
    [row] = rows(tmp_path / "log", mapping={"account": "metadata.tenant_code"})
    assert (row["account"], row["prompt"], row["status"]) == ("t-3", "What is a fen?", 200)
