"""Amazon Titan's own bodies on Bedrock's invoke: text and embeddings. Llama's are completions in shape.

Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html (read 2026-11).
"""

from stillwatch.exchanges.apis import TEXTS, USER, Api

API = Api(
    name="Bedrock Titan",
    order=25,
    paths=(),
    marks=("inputtext",),
    places={"inputtext": USER},
    texts=TEXTS | {"inputtext"},
)  # fmt: skip
