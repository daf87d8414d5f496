"""A suspect: the model under test, however it can be asked. It does not know what is tested.

A recording offers texts alone; an endpoint may offer log-probabilities; weights offer everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Messages = tuple[dict[str, str], ...]  # {"role", "content"}, oldest first
Tell = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True)
class Question:
    """One prompt with the name it goes by."""

    id: str
    messages: Messages


@dataclass(frozen=True)
class Told:
    """A question with an answer that somebody else gave, to be weighed by the suspect."""

    id: str
    messages: Messages
    answer: str


CONTINUE = (
    "Your answer to this begins as below. Go on from exactly where it stops, with the words that come next, "
    "and do not repeat it:"
)


@dataclass(frozen=True)
class BegunAnswer:
    """A question with the beginning of an answer, for the suspect to go on from.

    prompted: it is asked to, in words; else the beginning is given as its own. Without a text there is only
    the question.
    """

    id: str
    messages: Messages
    text: str
    prompted: bool = False

    def request_messages(self) -> Messages:
        """What is sent: of a prefilled answer the last message is the assistant's, to be gone on from."""
        if not self.text:
            return self.messages
        if not self.prompted:
            return (*self.messages, {"role": "assistant", "content": self.text})
        last = self.messages[-1]
        words = f"{last['content']}\n\n{CONTINUE}\n\n{self.text}"
        return (*self.messages[:-1], {"role": last["role"], "content": words})


@dataclass(frozen=True)
class AnswerLikelihood:
    """How the suspect takes an answer, token by token."""

    nats: float  # log-likelihood, summed over the answer's tokens
    tokens: int
    agreed: int | None = None  # tokens that were the suspect's own first choice; None: it does not say

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def agreed_share(self) -> float | None:
        return None if self.agreed is None else self.agreed / self.tokens


class Suspect(Protocol):
    """What every kind of suspect answers to.

    `offers`: "answers", "continuations", "likelihood", "top"; "chances" where it has `token_chances` as well.
    """

    @property
    def name(self) -> str: ...
    @property
    def offers(self) -> frozenset[str]: ...

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        """Up to n answers to each question, by its id; one that got none is missing. Raises: ProveError."""

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        """What it says next, n texts each, by id: an empty text is kept, a failed one is missing.

        An endpoint that tells the likeliest tokens gives them once instead: [token, log-probability] each.
        Raises: ProveError.
        """

    def weigh(self, answers: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        """How likely each answer is to the suspect, by id; what cannot be weighed is missing.

        Raises: ProveError where it offers no likelihood.
        """


def trouble(suspect: Suspect) -> str:
    """Why a suspect could not be asked, where it has said so, to be put after what it led to."""
    why = getattr(suspect, "trouble", "")
    return f": {why}" if why else ""


def silent(done: int, of: int) -> None:
    """Tell nobody."""
