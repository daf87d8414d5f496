"""Anthropic's messages and its older text completions, also as Bedrock and Vertex take them.

Source: platform.claude.com/docs/en/api/messages (read 2026-11).
"""

from stillwatch.exchanges.apis import SYSTEM, TEXTS, USER, Api

API = Api(
    name="Anthropic messages",
    order=35,
    paths=("/messages", "/messages/count_tokens", "/complete", ":rawpredict", ":streamrawpredict"),
    marks=("anthropic_version", "system", "thinking", "stop_sequences", "max_tokens_to_sample"),
    places={"messages": USER, "prompt": USER, "system": SYSTEM, "tools": SYSTEM, "output_format": SYSTEM,
            "output_config": SYSTEM, "mcp_servers": SYSTEM},
    turns=("messages",),
    texts=TEXTS | {"source", "cited_text", "system"},
)  # fmt: skip
