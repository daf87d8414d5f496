"""Gemini and Vertex AI: generateContent, countTokens, embedContent, predict.

Source: ai.google.dev/api/generate-content, ai.google.dev/api/embeddings (read 2026-11).
"""

from stillwatch.exchanges.apis import KEYS, SYSTEM, TOOL, USER, Api

API = Api(
    name="Gemini",
    order=10,
    paths=(":generatecontent", ":streamgeneratecontent", ":counttokens", ":embedcontent",
           ":batchembedcontents", ":predict"),
    marks=("contents", "instances", "generatecontentrequest"),
    places={
        "contents": USER, "content": USER, "instances": USER, "requests": USER, "systeminstruction": SYSTEM,
        "system_instruction": SYSTEM, "tools": SYSTEM, "generationconfig": SYSTEM,
        "generation_config": SYSTEM,
    },
    turns=("contents",),
    keys={**KEYS, "codeexecutionresult": TOOL, "code_execution_result": TOOL},
)  # fmt: skip
