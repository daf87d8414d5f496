"""Shapes in which exporters and shippers write records, and logs in which nobody can be judged.

All are written by hand, and none was recorded. A page or source that is named is the origin of the shape.
"""

import base64
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError
from stillwatch.exchanges.messages import from_cut_text
from stillwatch.exchanges.read import Rejects, read, read_accounts
from stillwatch.exchanges.tables import InMemoryLog
from stillwatch.report.losses import losses

DATA = Path(__file__).parent / "data" / "formats"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
AT = "2026-03-02T08:00:01Z"
MOMENT = datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC)
RECORD = {"time": AT, "account": "a", "prompt": "Inside?"}
UNTIMED = {"account": "a", "prompt": "Inside?"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Inside?"}]}
PAIR = {"time": AT, "account": "a", "request": CHAT, "response": {}}
MARK = {"topic": "calls", "partition": 0, "offset": 3}


def rows(*paths: Path, rejects: Rejects | None = None, **more) -> list[dict]:
    batches = read(list(paths), rejects=rejects or Rejects(), now=NOW, **more)
    return [row for batch in batches for row in batch.to_pylist()]


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def with_types(value: object) -> dict:
    """A value as DynamoDB writes it."""
    if isinstance(value, dict):
        return {"M": {name: with_types(inner) for name, inner in value.items()}}
    if isinstance(value, list):
        return {"L": [with_types(inner) for inner in value]}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def row_with_types(row: dict) -> dict:
    return {name: with_types(value) for name, value in row.items()}


def packed(value: object, *, zipped: bool = False) -> str:
    """Return a value as queues carry it: base64, of gzip if it is zipped."""
    data = json.dumps(value).encode()
    return base64.b64encode(gzip.compress(data) if zipped else data).decode()


def quote(value: object) -> str:
    return '"' + json.dumps(value).replace('"', '""') + '"'


SHAPES = {  # docs.aws.amazon.com/amazondynamodb: S3DataExport.Output, API_Scan, Streams
    "DynamoDB's export": [{"Item": row_with_types(RECORD)}],
    "DynamoDB's export of messages": [{"Item": row_with_types({"time": 1772438401, "account": "a"} | CHAT)}],
    "DynamoDB's scan": [{"Items": [row_with_types(RECORD)], "Count": 1, "ScannedCount": 1}],
    "DynamoDB's stream": [
        {
            "eventName": "INSERT",
            "dynamodb": {"Keys": row_with_types({"id": "1"}), "NewImage": row_with_types(RECORD)},
        },
        {"eventName": "REMOVE", "dynamodb": {"Keys": row_with_types({"id": "1"})}},
    ],
    # cloud.google.com/firestore/docs/reference/rest/v1/Value
    "Firestore": [
        {
            "name": "projects/p/databases/d/documents/calls/1",
            "fields": {
                "time": {"timestampValue": AT},
                "account": {"stringValue": "a"},
                "prompt": {"stringValue": "Inside?"},
                "input_tokens": {"integerValue": "7"},
            },
            "createTime": AT,
        }
    ],
    # docs.snowflake.com: COPY INTO location, names in capitals, VARIANT as JSON
    "Snowflake's columns": ["CREATED_AT,ACCOUNT,REQUEST", f"2026-03-02 08:00:01 +0000,a,{quote(CHAT)}"],
    "Snowflake's objects": [{"CREATED_AT": AT, "ACCOUNT": "a", "REQUEST": CHAT, "RESPONSE": {}}],
    "one VARIANT column": ["RECORD", quote(RECORD)],
    # elastic.co/docs/api: bulk; elasticdump; Kibana keeps _source
    "Elasticsearch's bulk file": [
        {"index": {"_index": "calls", "_id": "1"}},
        RECORD,
        {"delete": {"_index": "calls", "_id": "2"}},
    ],
    "Elasticsearch's update": [{"update": {"_id": "1"}}, {"doc": RECORD, "doc_as_upsert": True}],
    # what Filebeat and Logstash write beside the line that they ship
    "Filebeat": [
        {
            "@timestamp": AT,
            "log": {"offset": 0, "file": {"path": "/log"}},
            "message": json.dumps(UNTIMED),
            "input": {"type": "filestream"},
        }
    ],
    "Logstash": [
        {
            "@timestamp": "2026-03-02T08:30:00Z",
            "event": {"original": json.dumps(PAIR)},
            "log": {"file": {"path": "/log"}},
            "message": json.dumps(PAIR),
        }
    ],
    # docs.fluentbit.io: outputs, json_date_key; output file
    "Fluent Bit": [{"date": 1772438401.0, "account": "a", "kubernetes": {"pod_name": "p"}} | CHAT],
    "Fluent Bit's file": [f"calls: [1772438401.0, {json.dumps(RECORD)}]"],
    # docs.splunk.com: search/jobs/export, results
    "Splunk's export": [
        {"preview": True, "result": {"_time": AT, "_raw": json.dumps(UNTIMED | {"prompt": "Early"})}},
        {"preview": False, "result": {"_time": AT, "_raw": json.dumps(UNTIMED), "account": "a"}},
    ],
    "Splunk's results": [{"results": [{"_time": AT, "_raw": json.dumps(UNTIMED), "account": "a"}]}],
    "Splunk's CSV": ["_time,_raw,account", f"2026-03-02T08:00:01.000+0000,{quote(UNTIMED)},a"],
    # clickhouse.com/docs/interfaces/formats; cloud.google.com/bigquery/docs/reference/rest;
    # learn.microsoft.com/rest/api/loganalytics; pandas to_json(orient="split")
    "ClickHouse's JSONCompact": [
        {"meta": [{"name": n, "type": "String"} for n in RECORD], "data": [list(RECORD.values())], "rows": 1}
    ],
    "BigQuery's API": [
        {
            "schema": {"fields": [{"name": n, "type": "STRING"} for n in RECORD]},
            "rows": [{"f": [{"v": value} for value in ("1.772438401E9", "a", "Inside?")]}],
        }
    ],
    "Azure Monitor's API": [
        {
            "tables": [
                {
                    "name": "PrimaryResult",
                    "columns": [{"name": n} for n in ("TimeGenerated", "account", "prompt")],
                    "rows": [[AT, "a", "Inside?"]],
                }
            ]
        }
    ],
    "pandas' split": [{"columns": list(RECORD), "index": [0], "data": [list(RECORD.values())]}],
    # kafka.apache.org: JsonConverter; kcat -J; debezium.io/documentation: envelope
    "Kafka Connect": [{"schema": {"type": "struct", "fields": []}, "payload": RECORD}],
    "kcat": [MARK | {"ts": 1772438401000, "key": "k", "payload": json.dumps(UNTIMED)}],
    "a topic's dump": [MARK | {"key": "k", "value": None}, MARK | {"key": "k", "value": RECORD}],
    "Debezium": [
        {"payload": {"before": None, "after": RECORD, "op": "c", "source": {}}, "schema": {}},
        {"payload": {"before": RECORD, "after": None, "op": "d", "source": {}}, "schema": {}},
    ],
    "Maxwell": [{"database": "d", "table": "calls", "type": "insert", "ts": 1772438401, "data": RECORD}],
    # cloudevents.io; docs.aws.amazon.com: EventBridge, SNS
    "CloudEvents": [{"specversion": "1.0", "type": "call", "source": "/", "time": AT, "data": UNTIMED}],
    "EventBridge": [{"detail-type": "Call", "account": "123456789012", "time": AT, "detail": RECORD}],
    "SNS": [{"Type": "Notification", "TopicArn": "t", "Message": json.dumps(RECORD), "Timestamp": AT}],
    # docs.aws.amazon.com: Lambda with Kinesis, with SNS, with SQS; Firehose's requests; GetRecords;
    # CloudWatch Logs' subscriptions. cloud.google.com/pubsub: push, pull. From memory.
    "Kinesis in Lambda": [
        {
            "Records": [
                {
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "data": packed(UNTIMED),
                        "approximateArrivalTimestamp": 1772438401.0,
                    },
                    "eventSource": "aws:kinesis",
                }
            ]
        }
    ],
    "Kinesis, records": [{"Records": [{"Data": packed(RECORD), "PartitionKey": "k", "SequenceNumber": "4"}]}],
    "Kinesis, a record zipped": [{"Data": packed(RECORD, zipped=True), "PartitionKey": "k"}],
    "Firehose's request": [{"requestId": "r", "records": [{"recordId": "1", "data": packed(RECORD)}]}],
    "CloudWatch Logs' subscription": [
        {
            "awslogs": {
                "data": packed(
                    {
                        "messageType": "DATA_MESSAGE",
                        "logEvents": [
                            {"id": "1", "timestamp": 1772438401000, "message": json.dumps(UNTIMED)}
                        ],
                    },
                    zipped=True,
                )
            }
        }
    ],
    "SNS in Lambda": [
        {"Records": [{"EventSource": "aws:sns", "Sns": {"TopicArn": "t", "Message": json.dumps(RECORD)}}]}
    ],
    "SQS in Lambda": [{"Records": [{"messageId": "1", "receiptHandle": "h", "body": json.dumps(RECORD)}]}],
    "Pub/Sub, pushed": [
        {
            "message": {"data": packed(UNTIMED), "messageId": "1", "publishTime": AT},
            "subscription": "projects/p/subscriptions/s",
        }
    ],
    "Pub/Sub, pulled": [
        {"receivedMessages": [{"ackId": "x", "message": {"data": packed(RECORD), "messageId": "1"}}]}
    ],
    # Grafana's CSV, Log4j's JSON layout, Serilog, Sumo Logic's CSV
    "Grafana's CSV": ["Time,Line", f"{AT},{quote(UNTIMED)}"],
    "Log4j": [{"timeMillis": 1772438401000, "level": "INFO", "message": json.dumps(UNTIMED)}],
    "Serilog": [{"Timestamp": AT, "MessageTemplate": "x", "Properties": UNTIMED}],
    "Serilog, compact": [{"@t": AT, "@mt": "x", "Account": "a", "Prompt": "Inside?"}],
    "Sumo Logic": ["_messagetime,_raw", f"1772438401000,{quote(UNTIMED)}"],
    "a body beside its key": [{"time": AT, "apiKeyId": "a", "path": "/v1/chat/completions", "body": CHAT}],
    "a request without an answer": [
        {"time": AT, "account": "a", "request": {"contents": [{"parts": [{"text": "Inside?"}]}]}}
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_in_an_exporter_s_shape_is_read_once_and_nothing_refused(tmp_path, shape):
    rejects = Rejects()
    (found,) = rows(write(tmp_path / "log", *SHAPES[shape]), rejects=rejects)
    assert (found["prompt"], found["account"], found["time"]) == ("Inside?", "a", MOMENT)
    assert rejects.count == 0


def test_an_accounts_table_out_of_dynamodb(tmp_path):
    row = {"account": "a", "org": "Example Inc."}
    table = write(tmp_path / "accounts", {"Item": row_with_types(row)})
    assert read_accounts(table, rejects=Rejects(), now=NOW).column("org").to_pylist() == ["Example Inc."]


def test_a_client_s_own_account_inside_a_body_is_nobody_s(tmp_path):
    theirs = {"account": "victim", "prompt": "x", "time": AT}
    for line in (
        {"time": AT, "tenant": "a", "payload": theirs, "schema": "v1"},
        {"time": AT, "account": "a", "message": json.dumps(theirs)},
        {"ts": AT, "who": "a", "body": json.dumps(theirs)},
    ):
        with pytest.raises(InputError):
            rows(write(tmp_path / "log", line))
    (found,) = rows(write(tmp_path / "log", {"time": AT, "account": "a", "prompt": json.dumps(theirs)}))
    assert found["account"] == "a"


def test_formats_mixed_in_one_file_are_each_told_by_their_own_keys(tmp_path):
    """Our own format requires little: a Bedrock record once passed because it has an account and an input."""
    bedrock = (DATA / "bedrock.jsonl").read_text().splitlines()[0]
    alone = rows(write(tmp_path / "alone", bedrock))
    mixed = rows(write(tmp_path / "mixed", RECORD, bedrock, PAIR, RECORD | {"model": "m"}))
    assert mixed[1] == alone[0]
    assert [row["prompt"] for row in mixed] == ["Inside?", alone[0]["prompt"], "Inside?", "Inside?"]


class TestBedrockBodies:
    """docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html; the names of the files as
    public scripts list them: …/2026/03/02/08/data/REQUEST_input.json.gz."""

    PATH = "s3://logs/AWSLogs/1/BedrockModelInvocationLogs/us-east-1/2026/03/02/08/data/r-1"

    def record(self, **sides: object) -> dict:
        return {
            "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": AT, "accountId": "1",
            "identity": {"arn": "arn:aws:iam::1:user/bob"}, "requestId": "r-1", "modelId": "m",
            "operation": "Converse", "requestMetadata": {"team": "red"}, **sides,
        }  # fmt: skip

    def folder(self, tmp_path: Path) -> Path:
        record = self.record(
            input={"inputBodyS3Path": f"{self.PATH}_input.json.gz", "inputTokenCount": 40_000},
            output={"outputBodyS3Path": f"{self.PATH}_output.json.gz", "outputTokenCount": 3},
        )
        hour = tmp_path / "log" / "08"
        write(hour.parent / "09" / "late.json", record)  # the bodies are in a folder before it
        body = {"messages": [{"role": "user", "content": [{"text": "Long?"}]}], "time": AT, "account": "x"}
        answer = [
            {"contentBlockDelta": {"delta": {"text": text}}} for text in ("Long", " answer")
        ]  # a stream's events
        (hour / "data").mkdir(parents=True)
        (hour / "data" / "r-1_input.json.gz").write_bytes(gzip.compress(json.dumps(body).encode()))
        (hour / "data" / "r-1_output.json.gz").write_bytes(gzip.compress(json.dumps(answer).encode()))
        return tmp_path / "log"

    def test_bodies_in_files_of_their_own_are_read_as_those_of_their_record(self, tmp_path):
        rejects = Rejects()
        (found,) = rows(self.folder(tmp_path), rejects=rejects)
        assert (found["prompt"], found["completion"]) == ("Long?", "Long answer")
        assert (found["account"], found["input_tokens"]) == ("arn:aws:iam::1:user/bob", 40_000)
        assert (rejects.count, rejects.bodies_elsewhere) == (0, 0)

    def test_the_owner_s_names_hold_for_records_that_waited(self, tmp_path):
        folder = self.folder(tmp_path)
        names = {"account": "requestMetadata.team"}
        assert [row["account"] for row in rows(folder, mapping=names)] == ["red"]
        assert [row["account"] for row in rows(folder / "09", mapping=names)] == ["red"]

    def test_bodies_that_are_not_there_are_said(self, tmp_path):
        rejects = Rejects()
        (found,) = rows(self.folder(tmp_path) / "09", rejects=rejects)
        assert (found["prompt"], found["output_tokens"]) == (None, 3)
        assert "Copy the folders data/" in " ".join(losses(rejects, 1))


@pytest.mark.parametrize(
    ("log", "names", "told"),
    [
        ("azure_apim.jsonl", {"account": "OperationId"}, {"ChatCompletions_Create"}),
        ("langfuse_traces.csv", {"account": "id"}, {"tr-1", "tr-2"}),
    ],
)
def test_the_owner_s_names_hold_where_rows_are_joined_at_the_end(log, names, told):
    assert {row["account"] for row in rows(DATA / log, mapping=names)} == told


ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Inside?"}]}]
ATTRIBUTES = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "account.id": "a",
    "gen_ai.input.messages": json.dumps(ASKED), "gen_ai.usage.input_tokens": "7",
}  # fmt: skip
STORED = {  # the Collector's clickhouseexporter, traces_table.sql; Snowflake's event table; Azure Monitor's
    # AppDependencies; Jaeger's model/json
    "ClickHouse": {
        "Timestamp": "2026-03-02T08:00:01.000000000Z", "TraceId": "t", "SpanId": "s",
        "ResourceAttributes": {"service.name": "g"}, "SpanAttributes": ATTRIBUTES, "StatusCode": "Ok",
    },
    "Snowflake": {
        "START_TIMESTAMP": "2026-03-02 08:00:01.000 Z", "TRACE": {"trace_id": "t", "span_id": "s"},
        "RECORD": {"status": {"code": "STATUS_CODE_OK"}}, "RECORD_ATTRIBUTES": ATTRIBUTES,
    },
    "Application Insights": {
        "TimeGenerated": AT, "OperationId": "t", "Id": "s", "Properties": json.dumps(ATTRIBUTES),
        "Type": "AppDependencies", "ResultCode": "0",
    },
    "Jaeger": {
        "data": [
            {
                "traceID": "t", "processes": {},
                "spans": [
                    {
                        "traceID": "t", "spanID": "s", "startTime": 1772438401000000,
                        "tags": [{"key": key, "value": value} for key, value in ATTRIBUTES.items()],
                    }
                ],
            }
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("store", STORED)
def test_spans_are_read_as_stores_keep_them(tmp_path, store):
    (found,) = rows(write(tmp_path / "log", STORED[store]))
    assert (found["prompt"], found["account"], found["time"]) == ("Inside?", "a", MOMENT)
    assert (found["model"], found["input_tokens"], found["status"]) == ("m", 7, 200)
    assert found["exchange_id"] == "t:s"


def test_messages_that_a_limit_cut_off_are_read_until_there(tmp_path):
    """Application Insights keeps 8,192 characters of a property, API Management as many bytes of a body."""
    cut = {**ATTRIBUTES, "gen_ai.input.messages": ATTRIBUTES["gen_ai.input.messages"][:-7]}
    (found,) = rows(write(tmp_path / "log", {**STORED["Application Insights"], "Properties": cut}))
    assert found["prompt"] == "Insid"
    body = {"RequestBody": json.dumps(CHAT)[:-6], "ApimSubscriptionId": "a", "ResponseCode": 200}
    call = {"Type": "ApiManagementGatewayLogs", "TimeGenerated": AT, "CorrelationId": "c", **body}
    (found,) = rows(write(tmp_path / "log", call))
    assert (found["prompt"], found["account"]) == ("Insid", "a")


def test_names_in_capitals_beside_one_that_is_mapped(tmp_path):
    line = {"CREATED_AT": AT, "TENANT_NAME": "red", "REQUEST": CHAT, "RESPONSE": {}}
    found = rows(write(tmp_path / "log", line), mapping={"account": "TENANT_NAME"})
    assert [(row["account"], row["prompt"]) for row in found] == [("red", "Inside?")]
    table = parquet(tmp_path / "table", {**line, "REQUEST": json.dumps(CHAT), "RESPONSE": "{}"})
    assert [row["account"] for row in rows(table, mapping={"account": "TENANT_NAME"})] == ["red"]


def test_tags_are_found_by_their_name(tmp_path):
    lines = [
        {"time": AT, "prompt": "p", "tags": ["env:prod", "team:red"]},
        {"time": AT, "prompt": "q", "tags": [{"key": "team", "value": "blue"}]},
    ]
    found = rows(write(tmp_path / "log", *lines), mapping={"account": "tags.team"})
    assert [row["account"] for row in found] == ["red", "blue"]


def test_weave_reads_each_call_of_a_model_once():
    rejects = Rejects()
    found = rows(DATA / "weave.jsonl", rejects=rejects)
    assert [row["prompt"] for row in found] == ["Weave prompt?", "And again?"]
    assert {row["account"] for row in found} == {"cust-7"}
    first = found[0]
    assert (first["system"], first["completion"], first["latency_ms"]) == ("Be brief.", "Woven.", 1500)
    assert (first["input_tokens"], first["output_tokens"], first["temperature"]) == (12, 2, 0.3)
    assert [row["status"] for row in found] == [200, 500]
    assert (rejects.count, rejects.aside) == (0, 2)


def test_new_relic_s_events_are_joined_by_their_completion():
    rejects = Rejects()
    found = sorted(rows(DATA / "new_relic.jsonl", rejects=rejects), key=lambda row: row["time"])
    assert [(row["account"], row["system"], row["prompt"]) for row in found] == [
        ("acme", "Be short.", "Where is my parcel?"),
        ("acme", None, "And now?"),
    ]
    assert [(row["completion"], row["status"]) for row in found] == [("On its way.", 200), (None, 500)]
    assert [(row["temperature"], row["max_tokens"]) for row in found] == [(0.7, 200), (None, None)]
    assert (found[0]["input_tokens"], found[0]["output_tokens"]) == (19, 4)
    assert (rejects.count, rejects.aside) == (0, 6)


def test_a_call_without_an_account_of_new_relic_s_can_be_given_one(tmp_path):
    events = [json.loads(line) for line in (DATA / "new_relic.jsonl").read_text().splitlines()]
    for event in events:
        event["llm.shop"] = event.pop("llm.tenant")
    log = write(tmp_path / "log", *events)
    with pytest.raises(InputError, match=r"--map account=llm\.NAME"):
        rows(log)
    assert {row["account"] for row in rows(log, mapping={"account": "llm.shop"})} == {"acme"}


GENERATION = {  # posthog.com/docs/llm-analytics/generations
    "uuid": "e1",
    "event": "$ai_generation",
    "distinct_id": "user-1",
    "timestamp": AT,
    "properties": {
        "$ai_model": "gpt-4o",
        "$ai_input": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Inside?"}],
        "$ai_output_choices": [{"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}],
        "$ai_input_tokens": 9,
        "$ai_latency": 0.5,
        "$ai_http_status": 200,
        "$ai_model_parameters": {"temperature": 0.7, "max_tokens": 200},
        "account": "of the client",
    },
}


def test_posthog_s_account_is_what_the_owner_names_and_never_a_client_s_word(tmp_path):
    other = GENERATION | {"event": "$pageview", "uuid": "e2"}
    log = write(tmp_path / "log", GENERATION, other)
    with pytest.raises(InputError, match="account=distinct_id"):
        rows(log)
    (row,) = rows(log, mapping={"account": "distinct_id"})
    assert (row["account"], row["system"], row["prompt"]) == ("user-1", "Be kind.", "Inside?")
    assert (row["completion"], row["max_tokens"], row["latency_ms"]) == ("Yes.", 200, 500)


def test_higress_s_access_log_has_the_gateway_s_consumer(tmp_path):
    line = {  # alibaba/higress, ai-statistics
        "ai_log": json.dumps({"question": "Inside?", "answer": "Yes.", "model": "m", "consumer": "a"}),
        "start_time": AT,
        "response_code": "200",
        "duration": "500",
        "downstream_remote_address": "[2001:db8::7]:443",
    }
    (row,) = rows(write(tmp_path / "log", line))
    assert (row["account"], row["prompt"], row["completion"]) == ("a", "Inside?", "Yes.")
    assert (row["client_ip"], row["status"], row["latency_ms"]) == ("2001:db8::7", 200, 500)
    line["ai_log"] = json.dumps({"question": "Inside?"})
    with pytest.raises(InputError, match="has no consumer"):
        rows(write(tmp_path / "other", line))


@pytest.mark.parametrize("types", [[], [["DateTime64(3, 'UTC')", "LowCardinality(String)", "String"]]])
def test_clickhouse_s_rows_as_lists_under_their_names(tmp_path, types):
    lines = [["time", "account", "prompt"], *types, [AT, "a", "Inside?"], [AT, "b", "Outside?"]]
    rejects = Rejects()
    found = rows(write(tmp_path / "log", *lines), rejects=rejects)
    assert [(row["account"], row["prompt"]) for row in found] == [("a", "Inside?"), ("b", "Outside?")]
    assert rejects.count == 0
    short = write(tmp_path / "short", *lines, [AT, "c"])
    assert len(rows(short, rejects=rejects)) == 2
    assert rejects.count == 1


NO_REQUESTS = {  # as in their source code: one-api's model/log.go, LibreChat's message schema
    "one-api": {"id": 1, "user_id": 7, "created_at": 1772438401, "content": "x0.5", "username": "a",
                "token_name": "t", "model_name": "m", "quota": 9, "prompt_tokens": 9},
    "LibreChat": {"messageId": "m", "conversationId": "c", "isCreatedByUser": True, "text": "Inside?",
                  "user": "u", "createdAt": {"$date": AT}},
}  # fmt: skip


@pytest.mark.parametrize("name", NO_REQUESTS)
def test_tables_that_hold_no_request_are_refused_with_what_to_scan_instead(tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}.*right would be"):
        rows(write(tmp_path / "log", NO_REQUESTS[name]))


def test_whole_bodies_are_proposed_as_bodies(tmp_path):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Inside?"}]})
    line = {
        "client_id": "a",
        "request.time": AT,
        "request.content": body,
        "response.content": "{}",
    }  # Apigee's
    log = write(tmp_path / "log", line)
    with pytest.raises(InputError, match=r"--map request=request\.content --map response=response\.content"):
        rows(log)
    names = {"time": "request.time", "request": "request.content", "response": "response.content"}
    assert [row["prompt"] for row in rows(log, mapping=names)] == ["Inside?"]


def test_datadog_s_spans_have_the_account_of_their_tag():
    rejects = Rejects()
    found = rows(DATA / "datadog.json", rejects=rejects)
    assert [row["prompt"] for row in found] == ["Datadog prompt?", "And again?"]
    assert {row["account"] for row in found} == {"cust-8"}
    first = found[0]
    assert (first["system"], first["completion"], first["latency_ms"]) == ("Be brief.", "Fetched.", 1500)
    assert (first["input_tokens"], first["max_tokens"], first["model"]) == (12, 60, "m-1")
    assert first["time"] == datetime(2026, 3, 2, 8, 0, 0, 250_000, tzinfo=UTC)
    assert [row["status"] for row in found] == [200, 500]
    assert (rejects.count, rejects.aside) == (0, 1)


def parquet(path: Path, *records: dict, schema: pa.Schema | None = None) -> Path:
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), path)
    return path


class TestParquet:
    def test_a_known_format_whose_names_are_ours_by_chance(self, tmp_path):
        """Bedrock's table in Athena: a time, an account and an input, which is a body."""
        record = TestBedrockBodies().record(input={"inputBodyJson": json.dumps(CHAT), "inputTokenCount": 3})
        (found,) = rows(parquet(tmp_path / "log", record))
        assert (found["prompt"], found["account"]) == ("Inside?", "arn:aws:iam::1:user/bob")
        table = pq.read_table(tmp_path / "log")
        batches = list(read(InMemoryLog(table), rejects=Rejects(), now=NOW))
        assert [row["prompt"] for batch in batches for row in batch.to_pylist()] == ["Inside?"]

    def test_maps_are_objects(self, tmp_path):
        words = pa.map_(pa.string(), pa.string())
        moment = pa.timestamp("us", tz="UTC")
        schema = pa.schema([("time", moment), ("metadata", words), ("messages", pa.list_(words))])
        message = [("role", "user"), ("content", "Inside?")]
        row = {"time": MOMENT, "metadata": [("team", "red")], "messages": [message]}
        (found,) = rows(parquet(tmp_path / "log", row, schema=schema), mapping={"account": "metadata.team"})
        assert (found["account"], found["prompt"]) == ("red", "Inside?")

    @pytest.mark.parametrize(
        "record",
        [
            {"CREATED_AT": AT, "ACCOUNT": "a", "REQUEST": json.dumps(CHAT), "RESPONSE": "{}"},
            {"record": RECORD},
            {"value": json.dumps(RECORD).encode(), "key": b"k", "topic": "calls", "offset": 3},
        ],
        ids=["capitals", "one struct", "Kafka's bytes"],
    )
    def test_records_inside_columns(self, tmp_path, record):
        (found,) = rows(parquet(tmp_path / "log", record))
        assert (found["prompt"], found["account"], found["time"]) == ("Inside?", "a", MOMENT)


def test_numbers_that_a_spreadsheet_rounded_are_refused(tmp_path):
    """Many accounts would become one, and all times of an hour equal."""
    text = ["time,account,prompt", "1.77244E+12,a,p", f"{AT},1.23457E+17,p", f"{AT},b,p"]
    rejects = Rejects()
    assert [row["account"] for row in rows(write(tmp_path / "log", *text), rejects=rejects)] == ["b"]
    assert rejects.count == 2
    assert all("rounded by a spreadsheet" in example for example in rejects.examples)


def test_a_portal_s_csv_is_told_by_the_values_of_its_first_row(tmp_path):
    text = [
        "TimeGenerated [UTC],ResourceId,Category,OperationName,CorrelationId,ResultSignature",
        '"3/2/2026, 8:00:01.000 AM",/S/X,RequestResponse,ChatCompletions_Create,c-1,200',
    ]
    (found,) = rows(write(tmp_path / "log", *text))
    assert (found["account"], found["status"], found["prompt"]) == ("/S/X", 200, None)


SERVERS = {  # what no such log contains, which is reported
    "vLLM": "INFO 03-02 08:00:01 [logger.py:40] Received request chatcmpl-1: prompt: '{\"a\"', params: x",
    "Ollama": '[GIN] 2026/03/02 - 08:00:01 | 200 |  1.5s |  127.0.0.1 | POST     "/api/chat"',
    "llama.cpp": 'srv  log_server_r: request:  {"messages":[{"role":"user","content":"x"}]}',
    "SGLang": {"timestamp": "2026-03-02T08:00:01", "event": "request.finished", "rid": "1", "obj": {}},
    "Text Generation Inference": {"target": "text_generation_router", "span": {}, "spans": [{"name": "g"}]},
    "Ray Serve": {"levelname": "INFO", "asctime": "x", "replica": "r", "deployment": "d", "message": "m"},
    "Traefik": {"DownstreamStatus": 200, "RequestPath": "/v1/messages", "StartUTC": AT},
    "access log in text": '192.0.2.1 - - [02/Mar/2026:08:00:01 +0000] "POST /v1/messages HTTP/1.1" 200 5',
}  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_s_log_is_refused_with_what_to_log_instead(tmp_path, server):
    with pytest.raises(InputError, match=rf"{server}.*right would be"):
        rows(write(tmp_path / "log", SERVERS[server]))


def test_a_conversation_s_export_is_no_request(tmp_path):
    """OpenAI's compliance API: a page of messages, in which answers resemble questions."""
    page = {
        "object": "list",
        "data": [{"author": {"role": "assistant"}, "content": {"parts": ["An answer."]}}],
    }
    with pytest.raises(InputError, match="no column 'prompt'"):
        rows(
            write(
                tmp_path / "log", {"id": "1", "workspace_id": "w", "created_at": 1772438401, "messages": page}
            )
        )


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000], ids=["lists", "objects"])
def test_a_cut_text_that_goes_too_deep_stays_a_text(text: str) -> None:
    assert from_cut_text(text) is text


@pytest.mark.parametrize("text", ["eyJh", "eyes only", packed("a text"), "H4sIAAAA", "ew=="])
def test_a_text_that_looks_packed_and_is_none_is_no_record(tmp_path, text):
    rejects = Rejects()
    read_rows = rows(write(tmp_path / "log", RECORD, {"Data": text, "PartitionKey": "k"}), rejects=rejects)
    assert (len(read_rows), rejects.count) == (1, 1)


def test_a_gzip_bomb_in_a_queue_s_message_is_refused(tmp_path):
    bomb = base64.b64encode(gzip.compress(b"{" + b" " * (33 << 20) + b"}")).decode()
    rejects = Rejects()
    read_rows = rows(write(tmp_path / "log", RECORD, {"Data": bomb, "PartitionKey": "k"}), rejects=rejects)
    assert (len(read_rows), rejects.count) == (1, 1)
