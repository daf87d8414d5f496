"""The requests to a teacher, sample by sample, and the most that each may cost."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from stillwatch.distill import Prompt
from stillwatch.distill.collect import SampleRequest
from stillwatch.distill.plan import DistillPlan

MESSAGE_TOKENS = 16  # of a chat template around each message; the largest known (Llama 3) has 5
TEMPLATE_TOKENS = 96  # a template's own opening, with a default system message as some have one


def question_of(plan: DistillPlan, prompt: Prompt, sample: int) -> SampleRequest:
    """Return the request for one sample of one prompt."""
    body = _body(plan, prompt, sample)
    return SampleRequest(_key(body, sample), prompt, sample, body)


def questions(plan: DistillPlan, prompts: list[Prompt]) -> Iterator[SampleRequest]:
    """Every sample that a plan wants: the first of each prompt, then the second of each, and so on."""
    for sample in range(plan.collect.samples):
        for prompt in prompts:
            yield question_of(plan, prompt, sample)


def bound_tokens(question: SampleRequest, plan: DistillPlan) -> tuple[int, int]:
    """Return the most tokens that a request may take, in and out: no token is shorter than a byte."""
    message_tokens = sum(
        len(str(value).encode(errors="replace"))  # a prefilled message may have the field `"prefix": true`
        for message in question.prompt.messages
        for value in message.values()
    )
    prompt = message_tokens + MESSAGE_TOKENS * len(question.prompt.messages) + TEMPLATE_TOKENS
    return prompt, plan.collect.max_tokens


def likely_tokens(question: SampleRequest, plan: DistillPlan) -> int:
    """Estimate the tokens of a request's prompt: four bytes each (English text, BPE)."""
    most, _ = bound_tokens(question, plan)
    return max(1, (most - TEMPLATE_TOKENS) // 4)


def _body(plan: DistillPlan, prompt: Prompt, sample: int) -> dict[str, Any]:
    asking = plan.collect
    body: dict[str, Any] = {
        "model": plan.teacher.model,
        "messages": [dict(message) for message in prompt.messages],
    }
    body[asking.max_tokens_field] = asking.max_tokens
    for name in ("temperature", "top_p"):
        if (value := getattr(asking, name)) is not None:
            body[name] = value
    if asking.stop:
        body["stop"] = list(asking.stop)
    if asking.seed is not None:
        body["seed"] = asking.seed + sample
    if asking.reasoning_effort:
        body["reasoning_effort"] = asking.reasoning_effort
    if asking.logprobs:
        body |= {"logprobs": True, "top_logprobs": asking.logprobs}
    return body | asking.extra


def _key(body: dict[str, Any], sample: int) -> str:
    """Return a sample's key, from all that can change it; not the teacher's address, nor the limit's name."""
    common = {key: value for key, value in body.items() if key != "max_completion_tokens"}
    common["max_tokens"] = body.get("max_tokens", body.get("max_completion_tokens"))
    text = json.dumps([common, sample], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
