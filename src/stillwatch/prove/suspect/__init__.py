"""A suspect: the model under test, in whatever way it can be asked.

A recording offers texts alone; an endpoint may offer log-probabilities; weights offer everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Messages = tuple[dict[str, str], ...]  # {"role", "content"}, oldest first
Tell = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True)
class Question:
    """One prompt with its id."""

    id: str
    messages: Messages


@dataclass(frozen=True)
class Told:
    """A question with an answer from elsewhere, to be weighed by the suspect."""

    id: str
    messages: Messages
    answer: str


CONTINUE = (
    "Your answer to this begins as below. Go on from exactly where it stops, with the words that come next, "
    "and do not repeat it:"
)


@dataclass(frozen=True)
class BegunAnswer:
    """A question with the beginning of an answer, for the suspect to continue.

    prompted: the request asks for that in words; otherwise the beginning is sent as the suspect's own.
    Without a text there is only the question.
    """

    id: str
    messages: Messages
    text: str
    prompted: bool = False

    def request_messages(self) -> Messages:
        """The messages to send; for a prefilled answer the last one is the assistant's, to be continued."""
        if not self.text:
            return self.messages
        if not self.prompted:
            return (*self.messages, {"role": "assistant", "content": self.text})
        last = self.messages[-1]
        words = f"{last['content']}\n\n{CONTINUE}\n\n{self.text}"
        return (*self.messages[:-1], {"role": last["role"], "content": words})


@dataclass(frozen=True)
class AnswerLikelihood:
    """How likely the suspect finds an answer, token by token."""

    nats: float  # log-likelihood, summed over the answer's tokens
    tokens: int
    agreed: int | None = None  # tokens that were the suspect's own first choice; None if unknown

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def agreed_share(self) -> float | None:
        return None if self.agreed is None else self.agreed / self.tokens


class Suspect(Protocol):
    """Interface of every kind of suspect.

    `offers`: "answers", "continuations", "likelihood", "top"; "chances" if it has `token_chances` as well.
    """

    @property
    def name(self) -> str: ...
    @property
    def offers(self) -> frozenset[str]: ...

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        """Return up to n answers to each question, by id; one without any is missing. Raises: ProveError."""

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        """Return what it says next, n texts each, by id: an empty text is kept, a failed one is missing.

        An endpoint that reports likely tokens gives them once instead: [token, log-probability] each.
        Raises: ProveError.
        """

    def weigh(self, answers: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        """Return how likely each answer is to the suspect, by id; what cannot be weighed is missing.

        Raises: ProveError if it offers no likelihood.
        """


def trouble(suspect: Suspect) -> str:
    """Return why a suspect could not be asked, if it has reported that, to be appended to a message."""
    why = getattr(suspect, "trouble", "")
    return f": {why}" if why else ""


def silent(done: int, of: int) -> None:
    """Report nothing."""
