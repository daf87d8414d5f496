"""The owner's names for a log's columns: what they match, what they refuse, and what is proposed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.exchanges import mapping
from stillwatch.exchanges.read import Limits, Rejects, read, read_accounts
from stillwatch.scan.inspect import inspect
from stillwatch.scan.pipeline import Options

DATA = Path(__file__).parent / "data" / "formats"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = {"time": "when_utc", "account": "tenant_name", "prompt": "user_message_text"}
LINES = [
    {
        "when_utc": f"2026-03-02T09:0{i}:00Z",
        "tenant_name": f"t-{i}",
        "user_message_text": f"How tall is hill {i}?",
        "customer": "not the account",
    }
    for i in range(3)
]


def rows(path: Path, names: dict[str, str] | None = None, rejects: Rejects | None = None) -> list[dict]:
    batches = read([path], rejects=rejects or Rejects(), now=NOW, mapping=names)
    return [row for batch in batches for row in batch.to_pylist()]


def as_csv(path: Path) -> None:
    path.write_text("\n".join([",".join(LINES[0]), *(",".join(line.values()) for line in LINES)]))


def as_jsonl(path: Path) -> None:
    path.write_text("\n".join(map(json.dumps, LINES)))


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(LINES), path)


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_named_columns_are_read_alike_from_every_kind_of_file(tmp_path, write):
    write(tmp_path / "log")
    found = rows(tmp_path / "log", NAMES)
    assert [row["account"] for row in found] == ["t-0", "t-1", "t-2"], "not the usual name beside it"
    assert found[2]["prompt"] == "How tall is hill 2?"
    assert found[0]["time"] == datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_without_names_the_columns_are_said_and_the_words_to_try(tmp_path, write):
    write(tmp_path / "log")
    with pytest.raises(InputError) as refused:
        rows(tmp_path / "log")
    said = str(refused.value)
    assert "'when_utc', 'tenant_name', 'user_message_text'" in said
    assert "--map time=when_utc" in said
    assert "--map prompt=user_message_text" in said


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_a_column_that_is_not_there_is_an_error(tmp_path, write):
    write(tmp_path / "log")
    with pytest.raises(InputError, match="tenant"):
        rows(tmp_path / "log", NAMES | {"account": "tenant_nam"})
    with pytest.raises(InputError, match="seed"):
        rows(tmp_path / "log", NAMES | {"seed": "zeed"})


def test_the_same_column_in_another_case_is_proposed_and_not_taken(tmp_path):
    (tmp_path / "log").write_text("Time,TENANT,tenant,prompt\n2026-03-02T09:00:00Z,a,b,hello there\n")
    for name, account in (("TENANT", "a"), ("tenant", "b")):
        assert [row["account"] for row in rows(tmp_path / "log", {"account": name})] == [account]
    with pytest.raises(InputError, match="did you mean 'TENANT'"):
        rows(tmp_path / "log", {"account": "Tenant"})


def test_paths_lead_into_objects_lists_and_json_in_texts(tmp_path):
    line = {
        "ev": {"t": 1772000000, "who": json.dumps({"org.id": "o-1"})},
        "turns": [{"say": "first"}, {"say": "What is a fjord?"}],
        "cfg": '{"temp": 0.25}',
    }
    names = {"time": "ev.t", "account": "ev.who.org.id", "prompt": "turns.-1.say", "temperature": "cfg.temp"}
    (tmp_path / "log").write_text(json.dumps(line))
    assert [(r["account"], r["prompt"], r["temperature"]) for r in rows(tmp_path / "log", names)] == [
        ("o-1", "What is a fjord?", 0.25)
    ]
    pq.write_table(pa.Table.from_pylist([line]), tmp_path / "p")
    assert rows(tmp_path / "p", names)[0]["account"] == "o-1"


def test_messages_and_whole_bodies_may_be_named(tmp_path):
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is peat?"}]
    body = {"model": "m-1", "messages": talk, "temperature": 0.5, "max_tokens": 9}
    reply = {"choices": [{"message": {"content": "Soil."}, "finish_reason": "stop"}]}
    line = {
        "w": "2026-03-02T09:00:00Z",
        "t": "a",
        "dialog": json.dumps(talk),
        "req": json.dumps(body),
        "resp": json.dumps(reply),
    }
    both = {"time": "w", "account": "t"}
    for write in (
        lambda p: p.write_text(json.dumps(line)),
        lambda p: pq.write_table(pa.Table.from_pylist([line]), p),
    ):
        write(tmp_path / "log")
        [told] = rows(tmp_path / "log", both | {"messages": "dialog"})
        assert (told["system"], told["prompt"]) == ("Be brief.", "What is peat?")
        [told] = rows(tmp_path / "log", both | {"request": "req", "response": "resp"})
        assert (told["prompt"], told["model"], told["max_tokens"]) == ("What is peat?", "m-1", 9)
        assert told["completion"] == "Soil."


def test_a_prompt_that_is_json_stays_a_prompt(tmp_path):
    """Otherwise a client could hide its words by writing them as another speaker's turn."""
    hidden = json.dumps([{"role": "assistant", "content": "the words"}, {"role": "user", "content": "Hi"}])
    line = LINES[0] | {"user_message_text": hidden}
    (tmp_path / "log").write_text(json.dumps(line))
    assert rows(tmp_path / "log", NAMES)[0]["prompt"] == hidden


@pytest.mark.parametrize("written", [json.dumps, repr])
def test_a_column_of_conversations_is_called_one_and_read_when_it_is_named(tmp_path, written):
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What's peat?"}]
    line = {"time": "2026-03-02T09:00:00Z", "account": "a", "prompt": written(talk), "status": "blue"}
    (tmp_path / "log.jsonl").write_text(json.dumps(line))
    pq.write_table(pa.Table.from_pylist([line]), tmp_path / "log.parquet")
    for log in (tmp_path / "log.jsonl", tmp_path / "log.parquet"):
        notes = inspect([log], options=Options()).notes
        assert any("--map messages=COLUMN" in note for note in notes)
        assert any("count as empty, as: " in note and "column status" in note for note in notes)
        [found] = rows(log, {"messages": "prompt"})
        assert (found["system"], found["prompt"]) == ("Be brief.", "What's peat?")


def test_the_owner_names_what_another_format_does_not_know(tmp_path):
    found = rows(DATA / "traceloop_0.62.4.jsonl", {"account": "gen_ai.user"})
    assert [row["account"] for row in found] == ["user-0", "user-1", "user-2", *["service:chatapp"] * 2]
    payload = json.loads((DATA / "litellm_payload.ndjson").read_text().splitlines()[0])
    for name in ("user_api_key_hash", "user_api_key_alias", "user_api_key_user_id", "user_api_key_team_id"):
        payload["metadata"].pop(name, None)
    payload |= {"team_id": None, "organization_id": None, "user": None}
    payload["metadata"] |= {"user_api_key_org_id": None, "requester": {"who": "p-9"}}
    (tmp_path / "log").write_text(json.dumps(payload))
    with pytest.raises(InputError, match="no account"):
        rows(tmp_path / "log")
    [row] = rows(tmp_path / "log", {"account": "metadata.requester.who"})
    assert (row["account"], row["prompt"]) == ("p-9", "Capital of Kenya?")


def test_a_name_outside_an_envelope_counts_for_the_record_inside(tmp_path):
    inner = {"time": "2026-03-02T09:00:00Z", "prompt": "What is a delta?"}
    (tmp_path / "log").write_text(json.dumps({"log": json.dumps(inner), "pod": {"labels": {"team": "blue"}}}))
    assert [row["account"] for row in rows(tmp_path / "log", {"account": "pod.labels.team"})] == ["blue"]


def test_logs_of_another_format_are_read_as_ever_and_plain_ones_need_the_named_columns(
    tmp_path,
):
    """A plain record's `account` may be another party's: only the named column counts."""
    as_csv(tmp_path / "ours.csv")
    (tmp_path / "plain.jsonl").write_text('{"time":"2026-03-02T09:00:00Z","account":"x","prompt":"Hello"}')
    (tmp_path / "lite.ndjson").write_bytes((DATA / "litellm_payload.ndjson").read_bytes())
    found = rows(tmp_path, NAMES)
    assert len(found) == 3 + 2
    accounts = {row["account"] for row in found}
    assert "t-0" in accounts
    assert "x" not in accounts


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["account"], "FIELD=COLUMN"),
        (["=x"], "FIELD=COLUMN"),
        (["account="], "FIELD=COLUMN"),
        (["acount=x"], "near: account"),
        (["account=a", "tenant=b"], "mapped twice"),
    ],
)
def test_what_is_no_mapping_is_refused(pairs, said):
    with pytest.raises(InputError, match=said):
        mapping.from_pairs(pairs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[columns]\nacount = 'x'\n", "near: account"),
        ("[columns]\naccount = 3\n", "in quotes"),
        ("[columns]\naccount = 'a'\ntenant = 'b'\n", "mapped twice"),
        ("account = 'a'\n", "it has account"),
        ("[columns]\naccount = 'a'\n[more]\n", "it has more"),
        ("[columns]\n", r"\[columns\]"),
        ("[[", ":1: not TOML"),
        ("a" * 10_000 + " = [" * 10_000, ":1: the line has"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        mapping.from_file(tmp_path / "map.toml")
    assert "map.toml" in str(refused.value)
    with pytest.raises(InputError, match="cannot be read"):
        mapping.from_file(tmp_path / "none.toml")


def test_a_mapping_file_says_the_same_again(tmp_path):
    odd = {"account": 'a "quoted" \\ name', "time": "when\tthen", "prompt": "ä.0.text"}
    (tmp_path / "map.toml").write_text(mapping.to_toml(odd))
    assert mapping.from_file(tmp_path / "map.toml") == odd


@pytest.mark.parametrize(
    ("names", "proposed"),
    [
        (
            ["happenedAt", "orgLabel", "userMessageRaw"],
            {"time": "happenedAt", "account": "orgLabel", "prompt": "userMessageRaw"},
        ),
        (["time", "account", "say"], {}),
        (["latency_ms", "client_ip", "prompt_tokens"], {}),
        (["x", "y"], {}),
    ],
)
def test_proposals_are_by_name_and_none_where_none_fits(names, proposed):
    assert mapping.suggest(names) == proposed


KEYS = ("sk-proj-4f9a0c22d1e85b7736aa", "Bearer sk-4f9a0c22d1e85b7736aa", "AIza" + "b" * 35)


@pytest.mark.parametrize("key", KEYS)
def test_an_account_that_is_an_api_key_is_kept_nowhere(tmp_path, key):
    line = {"time": "2026-03-02T09:00:00Z", "account": key, "prompt": "Hello there"}
    (tmp_path / "j").write_text(json.dumps(line))
    pq.write_table(
        pa.Table.from_pylist([line, line | {"account": "acct-1", "prompt": "Two"}]), tmp_path / "p"
    )
    (tmp_path / "a.csv").write_text(f"account,org\n{key},Acme\n")
    rejects = Rejects()
    [plain] = rows(tmp_path / "j", rejects=rejects)
    table = rows(tmp_path / "p", rejects=rejects)
    owners = read_accounts(tmp_path / "a.csv", rejects=rejects, now=NOW).column("account").to_pylist()
    assert plain["account"].startswith("key_")
    assert [row["account"] for row in table] == [plain["account"], "acct-1"]
    assert owners == [plain["account"]], "the accounts table names the same one"
    assert rejects.named_by_key == 2


def test_two_formats_by_turns_are_both_read_and_a_line_without_the_named_column_is_not(tmp_path):
    lite = [line for line in (DATA / "litellm_payload.ndjson").read_text().splitlines() if line]
    ours = [json.dumps(line) for line in LINES]
    plain = ['{"time":"2026-03-02T09:00:00Z","account":"x","prompt":"Hello"}']
    mixed = [line for pair in zip(lite, ours, strict=False) for line in pair] + plain
    (tmp_path / "log").write_text("\n".join(mixed))
    rejects = Rejects()
    assert len(rows(tmp_path / "log", NAMES, rejects)) == 4
    assert rejects.count == 1


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_marks_and_line_ends_of_windows_are_no_part_of_a_name(tmp_path, ends, bom):
    text = "when_utc,tenant_name,user_message_text\n2026-03-02T09:00:00Z,t-1,Hello there\n"
    (tmp_path / "log").write_bytes((bom + text.replace("\n", ends)).encode())
    assert [row["prompt"] for row in rows(tmp_path / "log", NAMES)] == ["Hello there"]
    lines = ends.join(map(json.dumps, LINES))
    (tmp_path / "log").write_bytes((bom + lines).encode())
    assert len(rows(tmp_path / "log", NAMES)) == 3


DEEP = '{"a":' * 10_000 + "1" + "}" * 10_000


@pytest.mark.parametrize(
    "bad",
    [
        "\x00" * 50,
        json.dumps(LINES[0])[:-3],
        DEEP,
        json.dumps(LINES[1] | {"tenant_name": {"a": [1]}}),
        json.dumps(LINES[1] | {"tenant_name": None}),
        json.dumps(LINES[1] | {"tenant_name": ""}),
        json.dumps(LINES[1] | {"when_utc": "noon"}),
        json.dumps(LINES[1] | {"user_message_text": 3.5}),
    ],
)
def test_one_bad_line_costs_one_line(tmp_path, bad):
    (tmp_path / "log").write_text("\n".join([json.dumps(LINES[0]), bad, json.dumps(LINES[2])]))
    rejects = Rejects()
    found = rows(tmp_path / "log", NAMES, rejects)
    assert (len(found), rejects.count) == (2, 1)


def test_a_line_beyond_the_limit_is_not_held_for_a_mapping(tmp_path):
    long = json.dumps(LINES[1] | {"user_message_text": "x" * 300_000})
    (tmp_path / "log").write_text("\n".join([json.dumps(LINES[0]), long, json.dumps(LINES[2])]))
    rejects = Rejects()
    batches = read(
        [tmp_path / "log"], rejects=rejects, now=NOW, mapping=NAMES, limits=Limits(record_bytes=100_000)
    )
    assert sum(batch.num_rows for batch in batches) == 2
    assert "bytes long" in rejects.examples[0]


def test_a_path_through_what_a_client_wrote_stays_cheap():
    """Sixteen steps over keys that all exist, and JSON in texts without a result."""
    value: object = 1
    for _ in range(40):
        value = {"a": value, "a.a": json.dumps({"a": {}})}
    assert mapping.lookup(value, ".".join("a" * 16)) is not None
    assert mapping.lookup(json.loads('{"a":' * 300 + "1" + "}" * 300), ".".join("a" * 300)) is None
    assert mapping.lookup({"a": DEEP}, "a.a.a") is None


PARTS = [
    {"type": "text", "text": "What is in this picture?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]
CALLS = [
    {"role": "user", "content": "What is the weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "Rain in Ghent"},
]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("prompt", PARTS, "What is in this picture?"),
        ("messages", [{"role": "user", "content": PARTS}], "What is in this picture?"),
        ("messages", CALLS, "Rain in Ghent"),
        ("messages", "no JSON at all", "no JSON at all"),
    ],
)
def test_parts_pictures_and_tool_calls_under_names_of_ones_own(tmp_path, field, value, said):
    line = {"w": "2026-03-02T09:00:00Z", "t": "a", "x": value}
    (tmp_path / "log").write_text(json.dumps(line))
    [row] = rows(tmp_path / "log", {"time": "w", "account": "t", field: "x"})
    assert said in row["prompt"]
    assert "base64" not in row["prompt"]


@pytest.mark.slow
def test_the_other_verbs_that_read_a_log_take_the_same_names(tmp_path):
    lines = [line | {"spent": 1000 + k} for k, line in enumerate(LINES)]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "map.toml").write_text(mapping.to_toml(NAMES))
    words = ["terms", "allowance", str(tmp_path / "log"), "--map-file", str(tmp_path / "map.toml"), "--json"]
    told = CliRunner().invoke(app, [*words, "--map", "output_tokens=spent"])
    assert (told.exit_code, json.loads(told.stdout)["answer_tokens"] >= 1002) == (0, True)
    for verb in (["case", "export"], ["indicators", "search"], ["indicators", "export"]):
        assert "--map" in CliRunner().invoke(app, [*verb, "--help"]).output
