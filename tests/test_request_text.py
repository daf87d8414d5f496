"""The text that a model reads in a request is recorded, in every place of every API, in the right column."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import grows_with_the_text
from stillwatch.exchanges import apis
from stillwatch.exchanges.apis import all_apis
from stillwatch.exchanges.data_links import data_link, says_something
from stillwatch.exchanges.messages import REDACTED
from stillwatch.exchanges.request_text import (
    RequestText,
    bytes_text,
    is_conversation,
    messages_text,
    pieces_of,
    request_text,
)
from stillwatch.exchanges.text_files import decode_text

W = " ".join(f"word{chr(97 + i)}{chr(97 + j)}" for i in range(10) for j in range(20))
PLAIN64 = base64.b64encode(W.encode()).decode()
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def user(content):
    return [{"role": "user", "content": content}]


def share(text: str | None) -> float:
    words = set((text or "").replace('"', " ").split())
    return sum(word in words for word in W.split()) / 200


NEW = {  # path, body: the words are the new part of the prompt
    "chat, two messages": ("/v1/chat/completions", {"messages": [*user(W), *user("go on")]}),
    "chat, role in capitals": ("/v1/chat/completions", {"messages": [{"role": "User", "content": W}]}),
    "chat, role of its own": ("/v1/chat/completions", {"messages": [{"role": "critic", "content": W}]}),
    "chat, no role": ("/v1/chat/completions", {"messages": [{"content": W}]}),
    "chat, keys in capitals": ("/v1/chat/completions", {"Messages": [{"Role": "user", "Content": W}]}),
    "chat, tool result": ("/v1/chat/completions", {"messages": [
        *user("x"), {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": W}]}),
    "chat, prefilled answer": ("/v1/chat/completions", {"messages": [
        *user("x"), {"role": "assistant", "content": W}]}),
    "chat, a part of no known type": ("/v1/chat/completions", {
        "messages": user([{"type": "new", "new": W}])}),
    "chat, file": ("/v1/chat/completions", {"messages": user([
        {"type": "file", "file": {"file_data": f"data:text/plain;base64,{PLAIN64}"}}])}),
    "chat, file as a plain data link": ("/v1/chat/completions", {"messages": user([
        {"type": "file", "file": {"file_data": f"data:text/plain,{W}"}}])}),
    "chat, a server's own field": ("/v1/chat/completions", {
        "messages": user("x"), "chat_template_kwargs": {"custom": {"more": [W]}}}),
    "responses, tool's output as parts": ("/v1/responses", {"input": [
        {"type": "function_call_output", "output": [{"type": "input_text", "text": W}]}]}),
    "responses, variable as a part": ("/v1/responses", {"prompt": {
        "id": "p", "variables": {"q": {"type": "input_text", "text": W}}}}),
    "responses, variable named as an id is": ("/v1/responses", {
        "prompt": {"id": "p", "variables": {"id": W}}}),
    "threads, message": ("/v1/threads/t/messages", {"role": "user", "content": W}),
    "threads, run with messages": ("/v1/threads/runs", {
        "assistant_id": "a", "thread": {"messages": user(W)}}),
    "threads, tool outputs": ("/v1/threads/t/runs/r/submit_tool_outputs", {
        "tool_outputs": [{"tool_call_id": "c", "output": W}]}),
    "messages, tool result as parts": ("/v1/messages", {"messages": user([
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": W}]}])}),
    "messages, document in base64": ("/v1/messages", {"messages": user([{"type": "document", "source": {
        "type": "base64", "media_type": "text/plain", "data": PLAIN64}}])}),
    "messages, search result": ("/v1/messages", {"messages": user([
        {"type": "search_result", "title": "t", "content": [{"type": "text", "text": W}]}])}),
    "completions, list": ("/v1/completions", {"prompt": [W, "go on"]}),
    "embeddings, list": ("/v1/embeddings", {"input": ["a", W, "b"]}),
    "Gemini, inline data": ("/v1beta/models/g:generateContent", {"contents": [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "text/plain", "data": PLAIN64}}]}]}),
    "Gemini, function response": ("/v1beta/models/g:generateContent", {"contents": [
        {"parts": [{"text": "x"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"r": [W]}}}]}]}),
    "Gemini, keys of a function response": ("/v1beta/models/g:generateContent", {"contents": [
        {"parts": [{"functionResponse": {"name": "f", "response": {W: 1}}}]}]}),
    "Gemini, embeddings": ("/v1beta/models/g:batchEmbedContents", {"requests": [
        {"model": "m", "content": {"parts": [{"text": W}]}}]}),
    "Vertex, predict": ("/v1/projects/p/models/g:predict", {"instances": [{"prompt": W}]}),
    "converse, tool result": ("/model/x/converse", {"messages": [{"role": "user", "content": [
        {"toolResult": {"toolUseId": "a", "content": [{"json": {"answer": W}}]}}]}]}),
    "converse, document": ("/model/x/converse", {"messages": [{"role": "user", "content": [
        {"document": {"format": "txt", "name": "d", "source": {"bytes": PLAIN64}}}]}]}),
    "converse, prompt variables": ("/model/arn/converse", {"promptVariables": {"q": {"text": W}}}),
    "Titan": ("/model/amazon.titan/invoke", {"inputText": W}),
    "Llama": ("/model/meta.llama/invoke", {"prompt": W, "max_gen_len": 5}),
    "Cohere, documents": ("/v1/chat", {"message": "x", "documents": [{"title": "t", "snippet": W}]}),
    "Cohere, rerank": ("/v2/rerank", {"query": "x", "documents": [W]}),
    "Ollama, chat": ("/api/chat", {"model": "x", "messages": user(W)}),
    "Hugging Face, object": ("/models/x", {"inputs": {"question": W, "context": "c"}}),
    "Replicate": ("/v1/predictions", {"version": "v", "input": {"prompt": W}}),
    "chat, ids that a template shows": ("/v1/chat/completions", {"messages": [
        *user("x"), {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": W, "content": "ok"}]}),
    "chat, template of its own": ("/v1/chat/completions", {
        "messages": user("x"), "chat_template": "{{ user }}", "chat_template_kwargs": {"user": W}}),
    "chat, template that shows a field": ("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "x", "metadata": W}],
        "chat_template": "{{ messages[0].metadata }}"}),
    "chat, document under any key": ("/v1/chat/completions", {
        "messages": user("x"), "documents": [{"user": W, "id": "d"}]}),
    "Cohere, document under any key": ("/v1/chat", {"message": "x", "documents": [{"url": W}]}),
    "Cohere, rerank by a field": ("/v2/rerank", {"query": "x", "documents": [{"id": W}]}),
    "responses, environment of a shell": ("/v1/responses", {"input": [
        {"type": "local_shell_call", "action": {"type": "exec", "env": dict.fromkeys(W.split(), "1")}},
        *user("go on")]}),
    "responses, attributes of a found file": ("/v1/responses", {"input": [
        {"type": "file_search_call", "results": [{"file_id": "f", "attributes": {"metadata": W}}]}]}),
    "llama.cpp, words among tokens": ("/completion", {"prompt": [1, 2, W, 3]}),
    "an agent's conversation": ("/v1/agent", {"conversation": user(W)}),
    "Replicate, input under any key": ("/v1/predictions", {
        "version": "v", "input": {"metadata": W}}),
    "Hugging Face, input under any key": ("/models/x", {"inputs": {"id": W}}),
    "an API of tomorrow": ("/v9/ponder", {"ponder": {"about": [{"what": W}]}}),
}  # fmt: skip
SYSTEM = {
    "chat, system in the middle": {"messages": [*user("x"), {"role": "system", "content": W}, *user("y")]},
    "chat, tool": {"messages": user("x"), "tools": [{"function": {"name": "f", "description": W}}]},
    "chat, names in a tool's schema": {"messages": user("x"), "tools": [
        {"function": {"name": "f", "parameters": {"properties": {W: {"type": "string"}}}}}]},
    "chat, an enum in a schema": {"messages": user("x"), "response_format": {
        "type": "json_schema", "json_schema": {"schema": {"enum": [W]}}}},
    "chat, definitions in a schema": {"messages": user("x"), "response_format": {
        "type": "json_schema", "json_schema": {"schema": {"$defs": {W: {}}}}}},
    "messages, examples of a tool's input": {"messages": user("x"), "stop_sequences": [], "tools": [
        {"name": "f", "input_schema": {}, "input_examples": [dict.fromkeys(W.split(), 1)]}]},
    "messages, system as parts": {"messages": user("x"), "system": [{"type": "text", "text": W}]},
    "Gemini": {"contents": [{"parts": [{"text": "x"}]}], "systemInstruction": {"parts": [{"text": W}]}},
    "converse": {"messages": user([{"text": "x"}]), "system": [{"text": W}], "inferenceConfig": {}},
    "Cohere": {"message": "x", "preamble": W},
    "responses": {"input": "x", "instructions": W},
}  # fmt: skip
EARLIER = {
    "chat": {"messages": [*user(W), {"role": "assistant", "content": "ok"}, *user("go on")]},
    "chat, the model's words": {"messages": [*user("x"), {"role": "assistant", "content": W}, *user("y")]},
    "chat, prediction": {"messages": user("x"), "prediction": {"type": "content", "content": W}},
    "responses": {"input": [*user(W), {"type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": "ok"}]}, *user("go on")]},
    "Gemini": {"contents": [{"role": "user", "parts": [{"text": W}]},
                            {"role": "model", "parts": [{"text": "ok"}]}, {"parts": [{"text": "go on"}]}]},
    "Cohere": {"message": "go on", "chat_history": [
        {"role": "USER", "message": W}, {"role": "CHATBOT", "message": "ok"}]},
}  # fmt: skip


@pytest.mark.parametrize(("path", "body"), NEW.values(), ids=NEW)
def test_what_is_asked_now_is_new_wherever_it_stands(path, body):
    found = request_text(body, path)
    assert share(found.new) >= 0.95
    assert share(request_text(body).new) >= 0.95, "a log may not say the path"
    assert share(found.earlier) == share(found.system) == 0


@pytest.mark.parametrize("body", SYSTEM.values(), ids=SYSTEM)
def test_what_the_application_says_is_system_text(body):
    found = request_text(body)
    assert share(found.system) >= 0.95
    assert share(found.new) == share(found.earlier) == 0


@pytest.mark.parametrize("body", EARLIER.values(), ids=EARLIER)
def test_what_comes_along_is_earlier_text(body):
    found = request_text(body)
    assert share(found.earlier) >= 0.95
    assert share(found.new) == share(found.system) == 0
    assert found.new, "and something is asked"


def test_a_new_api_is_one_file(monkeypatch):
    body = {"ask": {"words": "Why?"}, "rules": "Be kind.", "log": [{"by": "us", "words": "Before."}]}
    assert request_text(body).api is None
    table = apis.Api(
        name="ours", order=1, paths=("/ask",), marks=("ask",), turns=("log",),
        places={"log": apis.USER, "ask": apis.USER, "rules": apis.SYSTEM},
        texts=frozenset(("words", "rules")),
    )  # fmt: skip
    monkeypatch.setattr("stillwatch.exchanges.request_text.all_apis", lambda: (table, *all_apis()))
    found = request_text(body, "/ask")
    assert (found.api, found.system, found.new) == ("ours", "Be kind.", "Before.\nWhy?")


def test_every_table_names_what_it_is_recognised_by():
    tables = all_apis()
    assert len({api.name for api in tables}) == len(tables) >= 11
    for api in tables:
        assert api.paths or api.marks
        for word in (*api.places, *api.turns, *api.marks, *api.paths, *api.texts, *api.silent, *api.free):
            assert word == word.lower(), f"{api.name}: {word}: keys are compared in small letters"


def test_ids_links_and_pictures_are_no_text():
    picture = base64.b64encode(bytes(range(256)) * 8).decode()
    found = request_text({
        "model": "gpt-9", "user": "someone in particular", "metadata": {"note": W}, "seed": 1,
        "messages": user([
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/" + "a" * 200}},
            {"type": "input_audio", "input_audio": {"data": picture, "format": "wav"}},
        ]),
        "images": [picture], "stop": [W],
    })  # fmt: skip
    assert (found.new, found.earlier, found.system, found.turn) == ("What is this?", None, None, 1)


def test_tokens_in_the_place_of_a_text_are_captured_as_numbers():
    assert request_text({"prompt": [1, 2, 30]}).new == "1 2 30"
    assert request_text({"prompt": [[1, 2], [30]]}).new == "1 2\n30"
    for name in ("input_ids", "token_ids", "prompt_token_ids"):
        assert request_text({name: [1, 2, 30]}).new == "1 2 30"


MESSAGE_TEXTS = st.one_of(
    st.text(max_size=90), st.sampled_from([*REDACTED, "a" * 70, "data:text/plain,hi%20you", PLAIN64])
)


@pytest.mark.slow
@given(st.sampled_from(all_apis()), st.sampled_from([*apis.ROLES, "User", "nobody", ""]), MESSAGE_TEXTS)
def test_a_message_of_a_role_and_a_text_is_read_as_any_other(api, role, text):
    """The fast path of most messages; a key that nobody reads leads to the slow one."""
    for key in api.places.keys() - (api.free - apis.FREE):
        said, more = ([{"role": role, "content": text} | beside] for beside in ({}, {"signature": "m-1"}))
        assert pieces_of({key: said}, api) == pieces_of({key: more}, api)


@pytest.mark.parametrize("name", ["a" * 1_000_000, "a_" * 500_000, "_" * 1_000_000, "a1" * 500_000])
def test_a_long_name_costs_what_it_is_long(name):
    began = time.process_time()
    request_text({"user": name, "messages": [{"role": "tool", "tool_call_id": name, "content": "x"}]})
    assert time.process_time() - began < 1.0


def test_redacted_texts_are_none():
    assert messages_text("redacted-by-litellm") == RequestText(None, None, None, None, "messages")


def test_messages_are_told_from_a_prompt_that_is_json():
    assert is_conversation(user("x"))
    assert is_conversation({"messages": []})
    assert not is_conversation({"a": "text of a user's own"})
    assert not is_conversation([1, 2])


@pytest.mark.parametrize("depth", [50, 400])
def test_depth_hides_nothing(depth):
    inside = W
    for _ in range(depth):
        inside = {"content": [inside]}
    assert share(request_text({"messages": user(inside)}).new) >= 0.95


def test_what_no_decoder_opens_is_walked():
    raw = (
        b'{"messages":[{"role":"user","content":'
        + b"[" * 5000
        + json.dumps(W).encode()
        + b"]" * 5000
        + b"}]}"
    )
    with pytest.raises(RecursionError):
        json.loads(raw)
    assert share(bytes_text(raw, "application/json").new) >= 0.95


def test_forms_and_plain_texts_are_read():
    border = "--XyZ"
    form = "\r\n".join((
        border, 'Content-Disposition: form-data; name="model"', "", "whisper one two three",
        border, 'Content-Disposition: form-data; name="prompt"', "", W,
        border, 'Content-Disposition: form-data; name="file"; filename="a.bin"', "", "\0\1\2",
        border + "--", "",
    ))  # fmt: skip
    assert bytes_text(form.encode(), "multipart/form-data; boundary=xyz").new == W
    assert bytes_text(b"\r\n" + form.encode(), "multipart/form-data; boundary=xyz").new == W
    named = form.replace("a.bin", W)
    assert bytes_text(named.encode(), "multipart/form-data; boundary=xyz").new == f"{W}\n{W}"
    related = (
        f"--b\r\ncontent-type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{PLAIN64}\r\n--b--"
    )
    assert bytes_text(related.encode(), "multipart/related; boundary=b").new == W
    told = "model=m&prompt=" + W.replace(" ", "+")
    assert share(bytes_text(told.encode(), "application/x-www-form-urlencoded").new) >= 0.95
    assert bytes_text(W.encode(), "text/plain").new == W
    assert bytes_text(b"\0\1\2\xff", "application/octet-stream").new is None


# --- text hidden in places that look like settings, names and files ----------------------------------------

WORDS = W.split()
NAMES = ["_".join(WORDS[i : i + 4]) for i in range(0, 200, 4)]  # the maximal length of a function's name
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def data64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def file(data: str):
    return {"messages": user([{"type": "file", "file": {"file_data": data}}])}


MAIL = (
    "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n"
    "Content-Transfer-Encoding: {}\r\n\r\n"
)
HIDDEN = {  # path, body: the model reads the words, and each of them alone looks like a name
    "names of messages": (CHAT, {"messages": [{"role": "user", "name": n, "content": "x"} for n in NAMES]}),
    "names of tools": (CHAT, {"messages": user("x"), "tools": [{"function": {"name": n}} for n in NAMES]}),
    "names of called tools": (CHAT, {"messages": [*user("x"), {"role": "assistant", "tool_calls": [
        {**CALL, "function": {"name": n, "arguments": "{}"}} for n in NAMES]}]}),
    "names of Gemini's functions": ("/v1beta/models/g:generateContent", {
        "contents": [{"parts": [{"text": "x"}]}],
        "tools": [{"functionDeclarations": [{"name": n} for n in NAMES]}]}),
    "names of a server's tools": (RESPONSES, {"input": [
        {"type": "mcp_list_tools", "tools": [{"name": n, "input_schema": {}} for n in NAMES]}]}),
    "names of files": (RESPONSES, {"input": user(
        [{"type": "input_file", "filename": f"{n}.txt", "file_data": "x"} for n in NAMES])}),
    "one word a command": (RESPONSES, {"input": [{"type": "shell_call", "action": {"commands": WORDS}}]}),
    "one word a line of output": (RESPONSES, {"input": [
        {"type": "shell_call_output", "output": [{"stdout": w} for w in WORDS]}]}),
    "one word a template's argument": (CHAT, {"messages": user("x"), "chat_template_kwargs": {"q": WORDS}}),
    "an enum of Gemini's": ("/v1beta/models/g:generateContent", {
        "contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseSchema": {"enum": WORDS}}}),
    "keys of a document": ("/v2/chat", {"messages": user("x"), "documents": [
        {"id": "1", "data": dict.fromkeys(WORDS, "x")}]}),
    "a role": (CHAT, {"messages": [{"role": W, "content": "x"}]}),
    "a schema of the Responses API": (RESPONSES, {"input": "x", "text": {"format": {
        "type": "json_schema", "schema": {"description": W}}}}),
    "a file in UTF-16": (CHAT, file("data:text/plain;base64," + data64(W.encode("utf-16")))),
    "a file in UTF-16 without a mark": (CHAT, file(data64(W.encode("utf-16-be")))),
    "a file in Latin-1": (CHAT, file(data64((W + " caf\xe9").encode("latin-1")))),
    "a file with a mark": (CHAT, file(data64(W.encode("utf-8-sig")))),
    "a file in lines of base64": (CHAT, file(base64.encodebytes(W.encode()).decode())),
    "a data link in capitals": (CHAT, file("data:text/plain;BASE64," + PLAIN64)),
    "a data link with long parameters": (CHAT, file(f"data:text/plain;x={'y' * 300};base64,{PLAIN64}")),
    "a sentence that begins as a data link": (CHAT, {"messages": user(f"data: {W}, please")}),
    "a prompt in the head of a data link": ("/v1/completions", {
        "prompt": f"data:text/plain;q={W},x"}),
    "a data link with a capital": (CHAT, file("DATA:text/plain;base64," + PLAIN64)),
    "a data link behind a blank": (CHAT, file(" data:text/plain;base64," + PLAIN64)),
    "a data link with a blank": (CHAT, file("data:text/plain; base64," + PLAIN64)),
    "a data link that says base64 first": (CHAT, file("data:text/plain;base64;charset=utf-8," + PLAIN64)),
    "a data link with base64 in escapes": (CHAT, file(
        "data:text/plain;base64," + "".join(f"%{ord(letter):02x}" for letter in PLAIN64))),
    "base64 with blanks": (CHAT, file(PLAIN64[:40] + " " + PLAIN64[40:])),
    "base64 with tabs": ("/v1beta/models/g:generateContent", {"contents": [{"parts": [{"inlineData": {
        "mimeType": "text/plain", "data": "\t".join((PLAIN64[:60], PLAIN64[60:]))}}]}]}),
    "RTF": (CHAT, file(data64(b"{\\rtf1\\ansi " + b"".join(b"\\'%02x" % one for one in W.encode()) + b"}"))),
    "RTF in Unicode": (CHAT, file(data64(
        b"{\\rtf1 " + b"".join(b"\\u%d?" % one for one in W.encode()) + b"}"))),
    "a page in entities": (CHAT, file(data64(b"<p>" + b"".join(b"&#%d;" % letter for letter in W.encode())))),
    "a page with tags in words": (CHAT, file(data64("<b></b>".join(W).encode()))),
    "a mail in base64": (CHAT, file(data64((MAIL.format("base64") + PLAIN64).encode()))),
    "a mail in quoted-printable": (CHAT, file(data64((MAIL.format("Quoted-Printable") + "".join(
        f"={ord(letter):02X}" for letter in W)).encode()))),
    "a mail with a mail": (CHAT, file(data64((MAIL.format("base64") + data64(
        (MAIL.format("base64") + PLAIN64).encode())).encode()))),
    "JSON in escapes": (CHAT, file(data64(
        ('{"q": "' + "".join(f"\\u{ord(letter):04x}" for letter in W) + '"}').encode()))),
    "a link that is a text": (RESPONSES, {"input": user(
        [{"type": "input_file", "file_url": "data:text/plain," + W.replace(" ", "%20")}])}),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body"), HIDDEN.values(), ids=HIDDEN)
def test_many_words_are_captured_however_each_is_hidden(path, body):
    found = request_text(body, path)
    assert share("\n".join(text for text in (found.new, found.earlier, found.system) if text)) >= 0.95


def test_words_that_no_blank_divides_are_not_taken_for_base64():
    for said in ("-".join(WORDS), "/".join(WORDS), "_".join(WORDS)):
        for part in ({"type": "function_result", "result": said}, {"type": "image", "data": said}):
            assert request_text({"input": [part]}, RESPONSES).new == said


def test_what_a_usual_data_link_says_of_itself_is_no_text():
    office = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    for head in ("text/plain", "text/plain;charset=utf-8", office, "", "image/svg+xml;charset=US-ASCII"):
        found = request_text(file(f"data:{head};base64,{PLAIN64}"))
        assert found.new == W
    picture = data64(bytes(range(256)))
    assert request_text(file("data:image/png;base64," + picture)).new is None
    assert (
        request_text(file("\n".join(picture[at : at + 76] for at in range(0, len(picture), 76)))).new is None
    )


def test_a_few_names_and_settings_are_no_text():
    found = request_text({
        "model": "m", "tool_choice": "auto", "service_tier": "flex", "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"}, "reasoning_effort": "high",
        "tools": [{"type": "function", "function": {"name": "get_weather", "description": "Weather."}}],
        "messages": [{"role": "user", "name": "jane_doe", "content": "Rain?"}],
    })  # fmt: skip
    assert (found.new, found.earlier, found.system) == ("Rain?", None, "Weather.")


def test_names_in_a_conversation_are_not_new_again():
    turn = [{"role": "user", "name": n, "content": "x"} for n in NAMES]
    body = {"messages": [*turn, {"role": "assistant", "content": "ok"}, *user("go on")]}
    found = request_text(body, CHAT)
    assert (found.new, share(found.earlier)) == ("go on", 1.0)


def test_a_stored_prompt_is_named_where_its_text_would_stand():
    found = request_text({"prompt": {"id": "pmpt_1", "version": "3", "variables": {"q": "Why?"}}}, RESPONSES)
    assert (found.new, found.system) == ("q\nWhy?", "stored prompt pmpt_1 3")
    found = request_text({"assistant_id": "asst_1", "additional_messages": user("x")}, "/v1/threads/t/runs")
    assert found.system == "stored assistant_id asst_1"


def lists(count: int) -> dict[str, object]:
    return {"messages": [[] for _ in range(count)], "more": [{} for _ in range(count)]}


def seconds(body: object) -> float:
    return min(_timed(body) for _ in range(3))


def _timed(body: object) -> float:
    begun = time.thread_time()
    request_text(body)
    return time.thread_time() - begun


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "<a", "<!--", "a<b ", "<p>&#65;", "<p ", "{\\rtf1\\u", "{\\rtf1" + "a" * 63 + "g", "--\n",
        "content-transfer-encoding: base64\n", "content-transfer-encoding: base64\n\nYWJj\n",
        "content-transfer-encoding: base64\n\nYWJj\n--x\n", "content-transfer-encoding: base64\n \n",
        "content-transfer-encoding: quoted-printable\n\n=41", "{\\u0041",
    ],
)  # fmt: skip
def test_text_files_take_time_in_proportion_to_their_bytes(unit):
    assert grows_with_the_text(lambda text: decode_text(text, bytes.decode), unit, 300_000 // len(unit))


@pytest.mark.slow
@pytest.mark.parametrize("begin", ["data:", "data:;", "data:a/b", "data:;a"])
@pytest.mark.parametrize("unit", [" ", ";", " ; ", "; =", "\t;a", ";charset ="])
def test_heads_of_data_links_take_time_in_proportion_to_their_length(begin, unit):
    """One such head of 4,000 characters took a third of a second."""

    def work(text):
        link = data_link(f"{begin}{text[:4_000]}!,x")
        return link and says_something(link)

    assert grows_with_the_text(lambda text: [work(text) for _ in range(100)], unit, 400 // len(unit))


@pytest.mark.slow
def test_time_grows_with_the_body_and_no_faster():
    for make in (
        lists,
        lambda n: {"messages": [{"role": "user", "content": "a"} for _ in range(n // 4)]},
        lambda n: {"input": [{"type": "message", "content": [{"text": "a b"}] * 2} for _ in range(n // 8)]},
    ):
        small, large = seconds(make(4_000)), seconds(make(32_000))
        assert large < 16 * small + 0.05, "eight times the body, at most twice that in time"
