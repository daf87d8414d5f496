"""How much a request asks for: answers, tokens of each, log-probabilities.

A field that only some servers obey can make a request larger and never smaller: a name in another case (Go's
reader ignores case), a number written as text or as 9.0, another API's name for the same field.
"""

import math
from typing import NamedTuple

from stillwatch.gateway.path.known_names import KnownNames

MOST_N = 1 << 20  # answers to one question: counters have 63 bits
MOST_TOKENS = 1 << 40  # of one answer, or one batch: more than any real one
# The limits of one answer, by operation: fields that its API defines
ALLOWS: dict[str, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens", "max_tokens_to_sample"),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
    "runs": ("max_completion_tokens",),
    "generate_content": ("generationConfig.maxOutputTokens", "generation_config.max_output_tokens"),
    "converse": ("inferenceConfig.maxTokens",),
    "cohere_chat": ("max_tokens",),
    "ollama_chat": ("options.num_predict",),
    "ollama_generate": ("options.num_predict",),
    "generate": ("parameters.max_new_tokens", "max_tokens"),
    "completion": ("n_predict",),
    "predict": ("input.max_tokens", "input.max_new_tokens", "input.max_completion_tokens"),  # Replicate's
}
# Objects of a body that hold such fields
SETTINGS = frozenset(
    ("generationconfig", "parameters", "options", "inferenceconfig", "samplingparams", "extrabody",
     "textgenerationconfig", "additionalmodelrequestfields")
)  # fmt: skip
ANSWERS = frozenset(
    ("n", "bestof", "candidatecount", "numgenerations", "numreturnsequences", "numresults", "ncmpl")
)
LOGPROBS = frozenset(("nprobs", "topntokens", "decoderinputdetails", "details", "returnlikelihoods"))
NONE_IF_ZERO = frozenset(("nprobs", "topntokens"))
# Lists in which each element is a separate prompt, by operation
PROMPTS: dict[str, tuple[str, ...]] = {
    "completions": ("prompt",),
    "completion": ("prompt",),
    "generate": ("prompt", "text", "inputs", "input_ids"),
    "predict": ("inputs", "instances"),
    "invoke": ("inputs", "instances"),
}
_ALLOWS = {name: frozenset(path.lower().replace("_", "") for path in paths) for name, paths in ALLOWS.items()}
_TOKENS = frozenset(path.rpartition(".")[2] for paths in _ALLOWS.values() for path in paths)
_MODELS_OWN = "additionalmodelrequestfields."  # Bedrock's: a model's own fields beside the common ones


class Amounts(NamedTuple):
    """What one request asks for."""

    n: int  # answers to one question
    answers: int  # to all of its questions
    most: int | None  # output tokens allowed for each, if the API's own field states them
    logprobs: bool


_USUAL = Amounts(1, 1, None, False)


def amounts(operation: str, request: dict[str, object]) -> Amounts:
    """Read the amounts from a body. If fields differ, the larger one counts."""
    options: list[tuple[str, str, object]] = []
    for key in request:
        if name := NAMES[key]:
            options.append((key, name, request[key]))
    prompts = 1
    if operation in PROMPTS:
        prompts = max(prompts_in(request.get(key)) for key in PROMPTS[operation])
    if operation == "chat":
        prompts = conversations_in(request)
    fields = request.get("input") if operation == "predict" else None
    if isinstance(fields, dict) and not any(key in request for key in PROMPTS["predict"]):
        options += _within("input", "input", fields)
    if not options and prompts == 1:
        return _USUAL
    n, most, raised, logprobs = 1, 0, 0, False
    allows = ALLOWS.get(operation, ())
    for path, name, value in options:
        if name in SETTINGS:
            for settings in value if type(value) is list else (value,):  # SGLang: one for each prompt
                if type(settings) is dict:
                    options += _within(path, name, settings)  # extends the list during the iteration
            continue
        last = name.rpartition(".")[2] if "." in name else name
        if last in ANSWERS:
            n = max(n, count_of(value))
        elif last in _TOKENS:
            if path in allows and type(value) is int:
                most = max(most, value)
            elif name in _ALLOWS.get(operation, ()) or name.startswith(_MODELS_OWN):
                raised = max(raised, count_of(value, MOST_TOKENS))
        else:
            logprobs = logprobs or _wants(last, value)
    allowed = min(max(most, raised), MOST_TOKENS) if most > 0 else None
    return Amounts(n, min(n * prompts, MOST_N), allowed, logprobs)


def count_of(value: object, most: int = MOST_N) -> int:
    """Return the number that a lenient reader takes from a value, from 1 to `most`."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 1
    if type(value) is int:
        return min(max(value, 1), most)
    if type(value) is float and math.isfinite(value):
        return min(max(math.floor(value), 1), most)
    return 1


def prompts_in(value: object) -> int:
    """Count the prompts in a field: a list of texts or lists is several, a list of tokens one."""
    if isinstance(value, list) and value and type(value[0]) in (str, list, dict):
        return len(value)
    return 1


def conversations_in(request: dict[str, object]) -> int:
    """Count the conversations in a request to vLLM's batches of them, or to servers that take lists."""
    messages, requests = request.get("messages"), request.get("requests")
    lists = len(messages) if type(messages) is list and messages and type(messages[0]) is list else 1
    return max(lists, len(requests)) if type(requests) is list else lists


def wants_logprobs(value: object) -> bool:
    """Return whether a field's value requests log-probabilities: 0 requests those of the sampled token."""
    return not (value is None or value is False or (isinstance(value, str) and value.lower() == "none"))


def _wants(name: str, value: object) -> bool:
    if name == "include":
        return isinstance(value, list) and any(isinstance(name, str) and "logprobs" in name for name in value)
    return wants_logprobs(value) and not (name in NONE_IF_ZERO and value == 0)


def _within(path: str, name: str, settings: dict[str, object]) -> list[tuple[str, str, object]]:
    """Return (path, normalised name, value) of the fields in an object of settings that concern amounts.

    An extra body may make an answer longer. Not every server reads it, so it makes none shorter.
    """
    outer = "" if name == "extrabody" else f"{name}."
    named = [(key, NAMES[key], value) for key, value in settings.items()]
    return [
        (f"{path}.{key}", outer + inner, value) for key, inner, value in named if inner not in ("", *SETTINGS)
    ]


def _name(key: str) -> str:
    """Return the normalised name of a key; "" if the key concerns no amount."""
    name = key.lower() if key.isascii() else key.casefold()
    name = name.replace("_", "").replace("-", "")
    known_option = (
        name in ANSWERS or name in _TOKENS or name in SETTINGS or name in LOGPROBS or name == "include"
    )
    return name if known_option or "logprob" in name else ""


NAMES = KnownNames(_name)
