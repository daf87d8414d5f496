"""A plugin for vLLM that marks requests carrying an actor's mark.

    vllm serve MODEL --logits-processors stillwatch.watermark.vllm_plugin:MarkingLogitsProcessor \\
        --additional-config '{"stillwatch_mark_key": "/path/mark.key"}'

A request names the actor in `vllm_xargs`, {"stillwatch_mark": "ACTOR"}; only the gateway between the clients
and vLLM may set it. Written for `AdapterLogitsProcessor` (vLLM 0.11 to 0.31, and later with
VLLM_USE_V2_MODEL_RUNNER=0). Tested without vLLM, against its documented calls: the class has not run in vLLM.

Source: vLLM's documentation, "Custom Logits Processors", and its API of vllm.v1.sample.logits_processor,
2026.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillwatch.watermark import MarkError
from stillwatch.watermark.choosing import choose_token
from stillwatch.watermark.keys import Owner, read_owner_key
from stillwatch.watermark.processor import remaining_probabilities

try:
    from vllm.v1.sample.logits_processor import AdapterLogitsProcessor as _Adapter
except ModuleNotFoundError:  # the plugin can be read and tested without it
    _Adapter = object

ACTOR, KEY_FILE, KEYS = "stillwatch_mark", "stillwatch_mark_key", "stillwatch_mark_keys"
COLD = 1e-4  # below it vLLM takes the most likely token


def request_marker(owner: Owner, params: Any) -> Callable[[Sequence[int], Any], Any] | None:
    """Return the function that marks one request, or None if no actor is named or nothing is sampled.

    The result takes the answer's tokens so far and a row of logits, and returns the row. vLLM applies
    temperature, top-k and top-p after it, so they are read from the request's own settings and applied before
    the choice.
    """
    actor = (params.extra_args or {}).get(ACTOR)
    if actor is None or params.temperature < COLD:
        return None
    top_k = params.top_k if params.top_k > 0 else 0
    draw = random.Random(params.seed) if params.seed is not None else random.SystemRandom()
    mark = owner.mark(actor).of_answer(draw.random)

    def marked(written: Sequence[int], logits: Any) -> Any:
        plain = logits.detach().double().cpu().numpy()
        token = choose_token(
            mark,
            remaining_probabilities(plain, params.temperature, top_k, params.top_p),
            written,
            draw.random,
        )
        if token is not None:
            logits[:] = float("-inf")
            logits[token] = 0.0
        return logits

    return marked


class MarkingLogitsProcessor(_Adapter):  # type: ignore[misc]
    """The class that vLLM loads by name. Raises: MarkError without vLLM or without the owner's key."""

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        if _Adapter is object:
            raise MarkError("vLLM is not installed here; this class is loaded by it")
        super().__init__(vllm_config, device, is_pin_memory)
        self.owner = owner_of(vllm_config)

    @classmethod
    def validate_params(cls, params: Any) -> None:
        """Raises: ValueError for an actor that is not a valid name, as vLLM requires."""
        actor = (params.extra_args or {}).get(ACTOR)
        if actor is not None and (not isinstance(actor, str) or not actor):
            raise ValueError(f"{ACTOR} is {actor!r:.80}; it is an actor's name")

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: Any) -> Callable[[Sequence[int], Any], Any] | None:
        return request_marker(self.owner, params)


def owner_of(vllm_config: Any) -> Owner:
    """Read the owner's key from the path in vLLM's additional configuration. Raises: MarkError."""
    options = getattr(vllm_config, "additional_config", None) or {}
    place = options.get(KEY_FILE) if isinstance(options, dict) else None
    if not isinstance(place, str):
        raise MarkError(f"vLLM was not told where the owner's key is: --additional-config with {KEY_FILE}")
    keys = options.get(KEYS, 1)
    if not isinstance(keys, int):
        raise MarkError(f"{KEYS} is {keys!r:.80}; it is a whole number")
    return Owner(read_owner_key(Path(place)), keys=keys)
