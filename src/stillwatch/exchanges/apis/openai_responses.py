"""OpenAI Responses and the items of its conversations.

Source: developers.openai.com/api/reference/resources/responses, .../conversations (read 2026-11).
"""

from stillwatch.exchanges.apis import SYSTEM, TEXTS, USER, Api

API = Api(
    name="OpenAI Responses",
    order=50,
    paths=("/responses", "/items", "/conversations", "/input_tokens"),
    marks=("input", "items", "instructions"),
    places={"input": USER, "items": USER, "prompt": USER, "instructions": SYSTEM, "tools": SYSTEM,
            "text": SYSTEM},
    stored=("prompt",),
    turns=("input", "items"),
    texts=TEXTS | {"code", "logs", "queries", "variables"},
)  # fmt: skip
