"""OpenAI chat completions and compatible APIs: Azure, Mistral, vLLM, Together, Groq, Databricks.

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
        "prediction": MODEL,  # the answer that the client expects; not part of the question
        "documents": USER,  # vLLM's chat templates
    },
    turns=("messages",),
    free=FREE | {"documents"},
)  # fmt: skip
