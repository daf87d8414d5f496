"""Cohere: chat (its first version; the second is OpenAI's in shape), embed, rerank.

Source: docs.cohere.com/v1/reference/chat, /reference/embed, /reference/rerank (read 2026-11).
"""

from stillwatch.exchanges.apis import FREE, SYSTEM, TEXTS, USER, Api

API = Api(
    name="Cohere",
    order=28,
    paths=("/v1/chat", "/v2/chat", "/v1/embed", "/v2/embed", "/v1/rerank", "/v2/rerank", "/rerank"),
    marks=("message", "chat_history", "preamble", "texts", "query"),
    places={"chat_history": USER, "message": USER, "documents": USER, "tool_results": USER, "texts": USER,
            "query": USER, "messages": USER, "preamble": SYSTEM, "tools": SYSTEM, "response_format": SYSTEM},
    turns=("chat_history", "messages"),
    texts=TEXTS | {"texts", "preamble", "outputs"},
    free=FREE | {"documents", "outputs", "data"},
)  # fmt: skip
