"""Ollama's generate; its chat is OpenAI's in shape.

Source: docs.ollama.com/api/generate (read 2026-11).
"""

from stillwatch.exchanges.apis import SYSTEM, TEXTS, USER, Api

API = Api(
    name="Ollama",
    order=34,
    paths=("/api/generate", "/api/chat", "/api/embed", "/api/embeddings"),
    marks=("template", "keep_alive", "raw", "num_predict"),
    places={"messages": USER, "prompt": USER, "suffix": USER, "input": USER, "system": SYSTEM,
            "template": SYSTEM, "tools": SYSTEM, "format": SYSTEM},
    turns=("messages",),
    texts=TEXTS | {"suffix", "system", "template"},
)  # fmt: skip
