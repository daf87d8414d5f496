"""A served model: its name, its engine, and how requests are translated."""

from stillwatch.distill.embedded.serve import GenerationRequest, RequestRefused, wire
from stillwatch.distill.embedded.serve.engine import GenerationEngine

MOST_TEXTS = 256  # of one request: its prompts times n
UNSAID = 1024  # new tokens if the request sets no limit


class ServedModel:
    """The model behind the app: its name, its engine, and where its reasoning goes."""

    def __init__(self, name: str, engine: GenerationEngine, reasoning: str) -> None:
        self.name = name
        self.engine = engine
        self.reasoning = reasoning

    def asks(self, request: wire.CompletionRequest, chat: bool) -> list[GenerationRequest]:
        """Return the texts that a request asks for, n for each prompt. Raises: Refused."""
        if request.model not in ("", self.name):
            raise RequestRefused(
                f"there is no model {request.model!r:.80} here; there is {self.name}", 404, "model_not_found"
            )
        words = self.engine.words
        if request.n * max(1, len(request.prompts)) > MOST_TEXTS:
            raise RequestRefused(f"more than {MOST_TEXTS} texts in one request", param="prompt")
        if chat:
            try:
                prompts = [tuple(words.begun_tokens(request.messages, request.begun))]
            except Exception as why:  # a chat template is a program of the model's maker
                raise RequestRefused(
                    f"the model's chat template refuses these messages: {why}", param="messages"
                ) from why
        else:
            try:
                prompts = [
                    p if isinstance(p, tuple) else tuple(words.tokenizer(p).input_ids)
                    for p in request.prompts
                ]
            except (UnicodeError, TypeError) as why:  # an unpaired surrogate
                raise RequestRefused("the prompt is no Unicode", param="prompt") from why
        return [
            self._ask(prompt, request, chat, None if request.seed is None else request.seed + i)
            for prompt in prompts
            for i in range(request.n)
        ]

    def _ask(
        self, prompt: tuple[int, ...], request: wire.CompletionRequest, chat: bool, seed: int | None
    ) -> GenerationRequest:
        if not prompt or min(prompt) < 0 or max(prompt) >= len(self.engine.words.tokenizer):
            raise RequestRefused("the prompt is empty or has unknown tokens", param="prompt")
        room = (self.engine.context or 1 << 30) - len(prompt)
        if room < 1:
            raise RequestRefused(
                f"the prompt has {len(prompt)} tokens, the model's context {self.engine.context}",
                400,
                "context_length_exceeded",
                "messages" if chat else "prompt",
            )
        return GenerationRequest(
            prompt=prompt,
            most=min(room, request.most or UNSAID),
            temperature=request.temperature,
            top_p=request.top_p,
            stop=request.stop,
            seed=seed,
            logprobs=request.logprobs,
            chat=chat,
        )
