"""Official clients outside our environment, unchanged: npm's OpenAI and Anthropic, LiteLLM, curl.

`tests/test_gateway_clients.py` has the Python ones. Each received text is compared with the upstream's.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import upstream_replies as model
from gateway_world import Running, gateway
from hooks_world import environment, node_modules
from upstream import Upstream

pytestmark = pytest.mark.slow
HELLO = [{"role": "user", "content": "hello"}]
BAN = '[[ban]]\nfamily = "deepseek"\n'

NODE = """
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
const [url, key] = process.argv.slice(2);
const hello = [{ role: "user", content: "hello" }];
const openai = new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0 });
const claude = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const told = {};
const whole = await openai.chat.completions.create({ model: "mira", messages: hello });
told.chat = whole.choices[0].message.content;
told.stream = "";
const asked = { model: "mira", messages: hello, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await openai.chat.completions.create(asked)) {
  told.stream += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) told.stream_tokens = chunk.usage.completion_tokens;
}
told.responses = (await openai.responses.create({ model: "mira", input: "hello" })).output_text;
const events = openai.responses.stream({ model: "mira", input: "hello" });
told.responses_stream = (await events.finalResponse()).output_text;
told.embeddings = (await openai.embeddings.create({ model: "mira-embed", input: ["a", "b"] })).data.length;
told.models = (await openai.models.list()).data.map((one) => one.id);
told.tool = (await openai.chat.completions.create({
  model: "mira", messages: hello, tool_choice: "required",
  tools: [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }],
})).choices[0].message.tool_calls[0].function.name;
const file = new File(['{"custom_id": "1"}\\n'], "batch.jsonl");
await openai.files.create({ file, purpose: "batch" });
const message = await claude.messages.create({ model: "mira", max_tokens: 99, messages: hello });
told.message = message.content[0].text;
const running = claude.messages.stream({ model: "mira", max_tokens: 99, messages: hello });
told.message_stream = (await running.finalMessage()).content[0].text;
const failed = async (what) => {
  try { await what(); return null; } catch (e) { return [e.status, e.code ?? e.error?.error?.type]; }
};
told.banned = await failed(() => openai.chat.completions.create({ model: "deepseek-chat", messages: hello }));
told.banned_message = await failed(
  () => claude.messages.create({ model: "deepseek-chat", max_tokens: 9, messages: hello }));
const stranger = new OpenAI({ baseURL: url + "/v1", apiKey: "x", maxRetries: 0 });
told.no_key = await failed(() => stranger.models.list());
console.log(JSON.stringify(told));
"""
LITELLM = """
import asyncio, json, sys
import litellm
litellm.suppress_debug_info = True
url, key = sys.argv[1:]
hello = [{"role": "user", "content": "hello"}]
ours = {"api_base": url + "/v1", "api_key": key, "num_retries": 0, "max_retries": 0}
claude = {"api_base": url, "api_key": key, "num_retries": 0, "max_retries": 0}
told = {}
told["chat"] = litellm.completion(model="openai/mira", messages=hello, **ours).choices[0].message.content
chunks = list(litellm.completion(model="openai/mira", messages=hello, stream=True, **ours))
told["stream"] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
async def later():
    return await litellm.acompletion(model="openai/mira", messages=hello, **ours)
told["async"] = asyncio.run(later()).choices[0].message.content
whole = litellm.completion(model="anthropic/mira", messages=hello, **claude)
told["message"] = whole.choices[0].message.content
chunks = list(litellm.completion(model="anthropic/mira", messages=hello, stream=True, **claude))
told["message_stream"] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
told["embeddings"] = len(litellm.embedding(model="openai/mira-embed", input=["a", "b"], **ours).data)
wrong = {"banned": {"model": "openai/deepseek-chat"}, "no_key": {"model": "openai/mira", "api_key": "x"}}
for name, more in wrong.items():
    try:
        litellm.completion(**(ours | {"messages": hello} | more))
    except Exception as why:
        told[name] = [type(why).__name__, getattr(why, "status_code", None)]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def gate(up: Upstream) -> Iterator[Running]:
    with gateway(up.url, BAN, recorder=False) as running:
        yield running


def text_of(**asked: Any) -> str:
    return "".join(model.answer({"model": "mira", **asked}).text)


def said(*words: str | Path, **options: Any) -> Any:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_npm_clients(gate: Running, tmp_path: Path) -> None:
    packages = node_modules("npm-openai-6.49.0", "openai@6.49.0", "@anthropic-ai/sdk@1.14.0")
    script = tmp_path / "ask.mjs"
    script.write_text(NODE)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    told = said("node", script, gate.url, gate.key)
    chat, response = text_of(messages=HELLO), text_of(input="hello")
    message = text_of(messages=HELLO, max_tokens=99)
    assert (told["chat"], told["stream"]) == (chat, chat)
    assert told["stream_tokens"] > 0
    assert (told["responses"], told["responses_stream"]) == (response, response)
    assert (told["embeddings"], told["tool"]) == (2, "weather")
    assert told["models"] == [name for name in model.MODELS if "deepseek" not in name]
    assert (told["message"], told["message_stream"]) == (message, message)
    assert told["banned"] == [403, "model_banned"]
    assert told["banned_message"] == [403, "permission_error"]
    assert told["no_key"] == [401, "invalid_api_key"]


def test_litellm_as_a_client(gate: Running) -> None:
    python = environment("litellm-1.108.7", "litellm[proxy]==1.108.7") / "python"
    told = said(python, "-c", LITELLM, gate.url, gate.key)
    chat = text_of(messages=HELLO)
    assert (told["chat"], told["stream"], told["async"]) == (chat, chat, chat)
    assert told["message"] == told["message_stream"] != ""
    assert told["embeddings"] == 2
    assert told["banned"][1] == 403
    assert told["no_key"] == ["AuthenticationError", 401]


def curl(gate: Running, path: str, *words: str, data: str | None = None) -> tuple[int, str]:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not here")
    asked = [program, "-sS", "-w", "\\n%{http_code}", "-H", f"authorization: Bearer {gate.key}", *words]
    if data is not None:
        asked += ["--data-binary", "@-"]
    done = subprocess.run([*asked, gate.url + path], input=data, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


JSON = ("-H", "content-type: application/json")


@pytest.mark.parametrize(
    "words",
    [
        JSON,
        (),
        (*JSON, "-0"),
        (*JSON, "--http2"),
        (*JSON, "--compressed"),
        (*JSON, "-H", "expect: 100-continue"),
    ],
)
def test_curl(gate: Running, words: tuple[str, ...]) -> None:
    """As people write it: also without a content type, for which curl sends that of a form."""
    status, body = curl(
        gate, "/v1/chat/completions", *words, data=json.dumps({"model": "mira", "messages": HELLO})
    )
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, text_of(messages=HELLO))


def test_curl_streams_sends_long_bodies_and_uploads(gate: Running, up: Upstream, tmp_path: Path) -> None:
    ask = {"model": "mira", "messages": HELLO, "stream": True}
    status, body = curl(gate, "/v1/chat/completions", *JSON, "-N", data=json.dumps(ask))
    assert (status, body.strip().splitlines()[-1]) == (200, "data: [DONE]")
    long = {"model": "mira", "messages": [{"role": "user", "content": "word " * 400_000}]}
    assert curl(gate, "/v1/chat/completions", *JSON, data=json.dumps(long))[0] == 200
    file = tmp_path / "batch.jsonl"
    file.write_text('{"custom_id": "1"}\n')
    status, body = curl(gate, "/v1/files", "-F", "purpose=batch", "-F", f"file=@{file}")
    assert status == 200, body
    assert file.read_bytes() in up.wait_seen(1)[-1].body
    assert curl(gate, "/v1/chat/completions", *JSON, data="{")[0] == 400
