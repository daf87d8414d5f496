"""Replicate's predictions: `input` is an object whose keys are the model's own.

Source: replicate.com/docs/reference/http, predictions.create (read 2026-11).
"""

from stillwatch.exchanges.apis import SILENT, USER, Api

API = Api(
    name="Replicate",
    order=22,
    paths=("/predictions",),
    marks=("version",),
    places={"input": USER},
    silent=SILENT - {"id", "user", "metadata", "object", "status", "conversation"},
)
