"""Hugging Face inference and KServe: `inputs`, whose keys are the model's own.

Source: huggingface.co/docs/inference-providers/tasks (read 2026-11).
"""

from stillwatch.exchanges.apis import SILENT, TEXTS, USER, Api

API = Api(
    name="Hugging Face",
    order=45,
    paths=(),
    marks=("inputs",),
    places={"inputs": USER},
    texts=TEXTS | {"inputs", "question", "sentences", "source_sentence"},
    silent=SILENT - {"id", "user", "metadata", "object", "status", "conversation"},
)  # fmt: skip
