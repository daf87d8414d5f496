"""AWS Bedrock Converse, and agents.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11).
"""

from stillwatch.exchanges.apis import FREE, SYSTEM, USER, Api

API = Api(
    name="Bedrock Converse",
    order=20,
    paths=("/converse", "/converse-stream"),
    marks=("inferenceconfig", "toolconfig", "promptvariables", "additionalmodelrequestfields",
           "guardrailconfig", "requestmetadata", "sessionstate"),
    places={"messages": USER, "promptvariables": USER, "inputtext": USER, "system": SYSTEM,
            "toolconfig": SYSTEM, "additionalmodelrequestfields": USER, "sessionstate": USER},
    turns=("messages",),
    free=FREE | {"promptvariables"},
)  # fmt: skip
