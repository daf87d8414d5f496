"""Hugging Face inference, Replicate and KServe: `inputs`, or `input` as an object.

Source: huggingface.co/docs/inference-providers/tasks (read 2026-11).
"""

from stillwatch.exchanges.apis import TEXTS, USER, Api

API = Api(
    name="Hugging Face",
    order=45,
    paths=(),
    marks=("inputs",),
    places={"inputs": USER},
    texts=TEXTS | {"inputs", "question", "sentences", "source_sentence"},
)  # fmt: skip
