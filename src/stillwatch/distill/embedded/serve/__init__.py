"""A local model behind an OpenAI-compatible API: its requests and outputs."""

from dataclasses import dataclass

from stillwatch.distill import DistillError

REASONING = ("field", "inline", "hidden")  # where the steps go: reasoning_content, in the text, nowhere


class RequestRefused(DistillError):
    """A request that cannot be served; `status` and `code` as OpenAI's API would answer."""

    def __init__(
        self, text: str, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.param = param


@dataclass(frozen=True)
class GenerationRequest:
    """One text to generate. `logprobs` None: none wanted; 0: only those of the generated tokens."""

    prompt: tuple[int, ...]
    most: int  # new tokens
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int | None
    logprobs: int | None
    chat: bool
    mark: str | None = None  # the actor whose mark the answer gets


@dataclass(frozen=True)
class Token:
    """A generated token, with the most likely ones there (text, bytes, log-probability)."""

    text: str
    raw: bytes
    logprob: float | None
    likeliest: tuple[tuple[str, bytes, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """The output so far: the whole text, the latest token, and why it ended if it did."""

    text: str
    token: Token | None
    tokens: int
    finish: str | None  # "stop", "length", None while it continues
