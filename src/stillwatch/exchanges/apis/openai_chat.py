"""OpenAI chat completions, and what speaks like it: Azure, Mistral, vLLM, Together, Groq, Databricks.

Source: developers.openai.com/api/reference/resources/chat (read 2026-11).
"""

from stillwatch.exchanges.apis import FREE, MODEL, SYSTEM, USER, Api

API = Api(
    name="OpenAI chat",
    order=40,
    paths=("/chat/completions",),
    marks=("messages",),
    places={
        "messages": USER, "tools": SYSTEM, "functions": SYSTEM, "response_format": SYSTEM,
        "prediction": MODEL,  # what the client expects as the answer; no model is asked by it
        "documents": USER,  # vLLM's chat templates
    },
    turns=("messages",),
    free=FREE | {"documents"},
)  # fmt: skip
