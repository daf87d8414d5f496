"""OpenAI's assistants: threads, their messages, and runs.

Source: developers.openai.com/api/reference/resources/beta/threads (read 2026-11).
"""

from stillwatch.exchanges.apis import SYSTEM, USER, Api

API = Api(
    name="OpenAI threads",
    order=30,
    paths=("/threads", "/runs", "/assistants", "/submit_tool_outputs"),
    marks=("thread", "assistant_id", "additional_messages", "additional_instructions", "tool_outputs",
           "role"),
    places={"thread": USER, "additional_messages": USER, "content": USER, "tool_outputs": USER,
            "instructions": SYSTEM, "additional_instructions": SYSTEM, "tools": SYSTEM,
            "response_format": SYSTEM},
    stored=("assistant_id",),
    turns=("messages", "additional_messages"),
)  # fmt: skip
