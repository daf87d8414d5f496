"""OpenAI completions and embeddings, images and speech: one text or a list of texts, without turns.

Source: developers.openai.com/api/reference/resources/completions, .../embeddings (read 2026-11).
"""

from stillwatch.exchanges.apis import TEXTS, USER, Api

API = Api(
    name="OpenAI completions",
    order=60,
    paths=("/completions", "/embeddings", "/images/generations", "/audio/speech"),
    marks=("prompt",),
    places={"prompt": USER, "suffix": USER, "images": USER, "template": USER, "context": USER},
    texts=TEXTS | {"suffix"},
)  # fmt: skip
