"""Gemini request and response bodies (generateContent) as fields of the record.

Source: ai.google.dev/api/generate-content (read 2026-11).
"""

from stillwatch.exchanges.formats import Json, Row
from stillwatch.exchanges.messages import count, dig, either, first, message_text
from stillwatch.exchanges.request_text import request_text


def exchange(request: Json, response: Json) -> Row:
    """Return the record's fields found in the two bodies."""
    config = either(request, "generationConfig", "generation_config")
    usage = either(response, "usageMetadata", "usage_metadata")
    answer = dig(response, "candidates", 0)
    parts = dig(answer, "content", "parts")
    answer_parts = (
        [part for part in parts if dig(part, "thought") is not True] if isinstance(parts, list) else None
    )
    finish = either(answer, "finishReason", "finish_reason")
    return {
        "model": first(request.get("model"), either(response, "modelVersion", "model_version")),
        **request_text(request).row(),
        "tools": count(request.get("tools")),
        "temperature": dig(config, "temperature"),
        "top_p": either(config, "topP", "top_p"),
        "max_tokens": either(config, "maxOutputTokens", "max_output_tokens"),
        "n": either(config, "candidateCount", "candidate_count"),
        "seed": dig(config, "seed"),
        "top_logprobs": dig(config, "logprobs"),
        "response_format": either(config, "responseMimeType", "response_mime_type"),
        "input_tokens": either(usage, "promptTokenCount", "prompt_token_count"),
        "output_tokens": either(usage, "candidatesTokenCount", "candidates_token_count"),
        "reasoning_tokens": either(usage, "thoughtsTokenCount", "thoughts_token_count"),
        "finish_reason": {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}.get(
            str(finish), finish
        ),
        "completion": message_text({"parts": answer_parts}) if answer_parts else None,
    }
