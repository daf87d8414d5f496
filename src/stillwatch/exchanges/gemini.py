"""Gemini request and response bodies (generateContent) as fields of the record. It does not know log formats.

Source: ai.google.dev/api/generate-content (read 2026-11).
"""

from stillwatch.exchanges.formats import Json, Row
from stillwatch.exchanges.messages import count, dig, first, message_text, talk


def _get(obj: object, camel: str, snake: str) -> object:
    return first(dig(obj, camel), dig(obj, snake))


def exchange(request: Json, response: Json) -> Row:
    """The record's fields that the two bodies hold."""
    config = _get(request, "generationConfig", "generation_config")
    contents = request.get("contents")
    turns = contents if isinstance(contents, list) else [contents]
    said = talk(
        [{**turn, "role": turn.get("role", "user")} for turn in turns if isinstance(turn, dict)],
        message_text(_get(request, "systemInstruction", "system_instruction")),
    )
    usage = _get(response, "usageMetadata", "usage_metadata")
    answer = dig(response, "candidates", 0)
    parts = dig(answer, "content", "parts")
    kept = [part for part in parts if dig(part, "thought") is not True] if isinstance(parts, list) else None
    ended = _get(answer, "finishReason", "finish_reason")
    return {
        "model": first(request.get("model"), _get(response, "modelVersion", "model_version")),
        "turn": said.turn,
        "system": said.system,
        "prompt": said.prompt,
        "other_input": said.other_input,
        "tools": count(request.get("tools")),
        "temperature": dig(config, "temperature"),
        "top_p": _get(config, "topP", "top_p"),
        "max_tokens": _get(config, "maxOutputTokens", "max_output_tokens"),
        "n": _get(config, "candidateCount", "candidate_count"),
        "seed": dig(config, "seed"),
        "top_logprobs": dig(config, "logprobs"),
        "response_format": _get(config, "responseMimeType", "response_mime_type"),
        "input_tokens": _get(usage, "promptTokenCount", "prompt_token_count"),
        "output_tokens": _get(usage, "candidatesTokenCount", "candidates_token_count"),
        "reasoning_tokens": _get(usage, "thoughtsTokenCount", "thoughts_token_count"),
        "finish_reason": {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}.get(
            str(ended), ended
        ),
        "completion": message_text({"parts": kept}) if kept else None,
    }
