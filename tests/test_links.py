"""Content that a request refers to only by an address: found in every API's form, and counted as unread."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwatch.exchanges.links import LINK, fetching_tool, links_in
from stillwatch.exchanges.request_text import request_text

AT = "https://example.com/questions.pdf"


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"model": "mira", "messages": [{"role": "user", "content": list(parts)}]}


def gemini(**file: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "Answer."}, {"fileData": file}]}]}


DOCUMENTS: list[dict[str, Any]] = [
    {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": AT}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": f" {AT.upper()} "}]}]},
    {"input": [{"type": "input_file", "file_url": "https:example.com"}]},
    {"input": [{"type": "input_file", "file_url": "//example.com/q"}]},
    {"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_url": AT}]}]},
    {"prompt": {"id": "pmpt_1", "variables": {"q": {"type": "input_file", "file_url": AT}}}},
    user({"type": "document", "source": {"type": "url", "url": AT}}),
    user({"type": "tool_result", "content": [{"type": "document", "source": {"type": "url", "url": AT}}]}),
    user({"type": "document", "title": AT, "source": {"type": "url", "url": AT}}),
    user({"type": "document_url", "document_url": AT}),
    user({"type": "document_url", "document_url": {"url": AT}}),
    user({"type": "file", "file": {"file_data": AT}}),
    user({"type": "file_url", "file_url": {"url": AT}}),
    {"model": "mistral-ocr-latest", "document": {"type": "document_url", "document_url": AT}},
    gemini(fileUri=AT, mimeType="application/pdf"),
    gemini(fileUri="gs://bucket/q.txt", mimeType="text/plain"),
    gemini(file_uri="https://youtu.be/x"),
    gemini(fileUri=AT, mimeType="image/png", mime_type="application/pdf"),
    {"messages": [{"content": [{"document": {"source": {"s3Location": {"uri": "s3://bucket/q.pdf"}}}}]}]},
    {"input": {"prompt": "Answer.", "paper": AT}},
    {"question": "Answer.", "reading": {"url": AT}},
]
PICTURES: list[dict[str, Any]] = [
    user({"type": "image_url", "image_url": {"url": AT}}),
    user({"type": "image_url", "image_url": AT}),
    user({"type": "image", "source": {"type": "url", "url": AT}}),
    user({"type": "video_url", "video_url": {"url": AT}}),
    {"input": [{"type": "input_image", "image_url": AT}]},
    {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": AT}}]},
    gemini(fileUri=AT, mimeType="image/png"),
    {"input": {"image": AT}},
    {"messages": [{"content": [{"image": {"source": {"s3Location": {"uri": "s3://bucket/q.png"}}}}]}]},
]
NEITHER: list[dict[str, Any]] = [
    user({"type": "text", "text": AT}),
    {"messages": [{"role": "user", "content": AT}]},
    {"input": AT, "instructions": AT, "metadata": {"from": AT, "file_url": AT}, "user": AT},
    user({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}),
    user({"type": "file", "file": {"file_data": "data:application/pdf;base64,aGVsbG8="}}),
    user({"type": "file", "file": {"file_id": "file-abc"}}),
    user({"type": "document", "source": {"type": "file", "file_id": "file_abc"}}),
    gemini(fileUri="https://generativelanguage.googleapis.com/v1beta/files/abc", mimeType="text/plain"),
    gemini(fileUri="files/abc", mimeType="text/plain"),
    user({"type": "file_url", "file_url": "file-abc"}),
    # parts of earlier answers that a client sends back
    {"input": [{"type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": "x", "annotations": [{"type": "url_citation", "url": AT}]}]}]},
    {"input": [{"type": "web_search_call", "action": {"type": "open_page", "url": AT}}]},
    user({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": AT}]}),
    user({"type": "search_result", "source": AT, "title": "x", "content": [{"type": "text", "text": "x"}]}),
    user({"type": "tool_use", "id": "t", "name": "open", "input": {"url": AT, "file_url": AT}}),
    {"messages": [{"role": "assistant", "content": "x", "citations": [AT]}], "search_results": [{"url": AT}]},
    {"contents": [{"parts": [{"functionCall": {"name": "open", "args": {"url": AT}}}]}]},
    {"tools": [{"type": "function", "function": {"name": "open", "parameters": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"url": {"default": AT}}}}}]},
    {"extra_headers": {"HTTP-Referer": AT}},
]  # fmt: skip


@pytest.mark.parametrize("body", DOCUMENTS)
def test_a_document_behind_a_link_is_counted_as_unread(body: dict[str, Any]) -> None:
    assert links_in(body) == (1, 0)
    assert request_text(body).unread == (LINK,)


@pytest.mark.parametrize("body", PICTURES)
def test_a_picture_behind_a_link_is_none_of_them(body: dict[str, Any]) -> None:
    assert links_in(body) == (0, 1)
    assert request_text(body).unread == ()


@pytest.mark.parametrize("body", NEITHER)
def test_what_only_speaks_of_an_address_is_no_link(body: dict[str, Any]) -> None:
    assert links_in(body) == (0, 0)
    assert request_text(body).unread == ()


@pytest.mark.parametrize(
    "body",
    [
        *({"tools": [{"type": kind}]} for kind in (
            "web_search", "web_search_preview", "web_search_20250305", "web_fetch_20250910", "mcp",
            "browser_search", "web_search_premium", "x_search", "builtin_function",
        )),
        *({"tools": [{key: {}}]} for key in (
            "googleSearch", "google_search", "urlContext", "url_context", "googleSearchRetrieval",
        )),
        {"tools": [{"functionDeclarations": [], "url_context": {}}]}, {"web_search_options": {"a": 1}},
        {"mcp_servers": [{"type": "url", "url": AT}]}, {"plugins": [{"id": "web"}]},
        {"search_parameters": {"mode": "on"}}, {"connectors": [{"id": "web-search"}]},
        {"enable_search": True}, {"model": "acme/mira:online"}, {"extra_body": {"plugins": [{"id": "web"}]}},
    ],
)  # fmt: skip
def test_what_has_the_provider_read_elsewhere_is_seen(body: dict[str, Any]) -> None:
    assert fetching_tool(body)


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "function": {"name": "web_search"}}]},
        {"tools": [{"name": "web_fetch", "description": "x", "input_schema": {}}]},
        {"tools": [{"type": "custom", "name": "fetch_url"}, {"type": "file_search"}]},
        {"tools": [{"type": "tool_search_tool_bm25_20251119"}, {"type": "code_interpreter"}]},
        {"tools": [{"functionDeclarations": [{"name": "web_search"}]}, {"fileSearch": {}}]},
        {"enable_search": False, "tools": [], "mcp_servers": []},
        {"messages": [{"role": "user", "content": "use web_search"}]},
    ],
)  # fmt: skip
def test_a_client_s_own_tools_and_stored_files_are_no_such_tool(body: dict[str, Any]) -> None:
    assert fetching_tool(body) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([AT, "data:", "gs://b"]),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["url", "type", "file_url", "tools", "input", "mimeType", "fileUri"]) | st.text(),
        inner,
    ),
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_any_body_is_looked_through(value: object) -> None:
    documents, pictures = links_in(value)
    assert documents >= 0
    assert pictures >= 0
    fetching_tool(value)
