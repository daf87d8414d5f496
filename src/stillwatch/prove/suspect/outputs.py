"""A suspect that is a file of recorded outputs. It cannot answer new questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillwatch.prove import ProveError
from stillwatch.prove.recording import Unread, read, usable
from stillwatch.prove.suspect import AnswerLikelihood, BegunAnswer, Question, Tell, Told


class Outputs:
    """Answers in a file. Rows are found by a prompt's id or its text; several rows are several samples."""

    def __init__(self, path: Path, name: str = "") -> None:
        """Raises: ProveError with the place where the file cannot be used."""
        self.name = name or path.name
        self._path = path
        self._by_id: dict[str, list[str]] = {}
        self._by_text: dict[str, list[str]] = {}
        self._said: dict[str, list[str]] = {}  # by id, the empty ones too
        self.rows = self.empty = 0
        unread: list[Unread] = []
        for row in read(path):
            self.rows += 1
            if isinstance(row, Unread):
                unread.append(row)
                continue
            self.empty += row.given - len(row.answers)
            if row.id:
                texts = row.answers + ("",) * (row.given - len(row.answers))
                self._said.setdefault(row.id, []).extend(texts)
            if row.answers and row.id:
                self._by_id.setdefault(row.id, []).extend(row.answers)
            if row.answers and row.asked:
                self._by_text.setdefault(text_key(row.asked), []).extend(row.answers)
        continued = any("@" in key.rpartition("/")[2] for key in self._by_id)
        self.offers = frozenset({"answers", "continuations"} if continued else {"answers"})
        self.unread = tuple(map(str, unread))
        usable(path, unread, self.rows)
        if not self.rows:
            raise ProveError(f"{path}: holds no rows; give lines with prompt or prompt_id, and output")
        if not self._by_id and not self._by_text:
            raise ProveError(f"{path}: all {self.rows:,} outputs are empty: there is nothing to test")

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        """Return the file's answers. Raises: ProveError if it holds answers to other prompts."""
        found = {}
        for question in questions:
            texts = self._by_id.get(question.id) or self._by_text.get(last_user_text(question))
            if texts:
                found[question.id] = texts[:n]
        if not found:
            example = next(iter(self._by_text or self._by_id))
            raise ProveError(
                f"{self._path}: answers none of the {len(questions):,} prompts under test (its first is "
                f"{example[:60]!r}); the suspect must be asked the same prompts, by id or word for word"
            )
        tell(len(found), len(questions))
        return found

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        """Return the file's continuations, by id. Raises: ProveError if it holds none of them."""
        found: dict[str, list[Any]] = {
            answer.id: self._said[answer.id][:n] for answer in begun if answer.id in self._said
        }
        if not found:
            raise ProveError(
                f"{self._path}: has no row for any of the {len(begun):,} questions under test ({begun[0].id} "
                "first); ask the suspect what `stillwatch prove questions` writes, and keep each prompt_id"
            )
        tell(len(found), len(begun))
        return found

    def weigh(self, answers: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        raise ProveError(
            f"{self._path}: a file of outputs cannot weigh answers; test by overlap, or name a model or "
            "an endpoint"
        )


def last_user_text(question: Question) -> str:
    """Return the key of a prompt for comparison: the words of its last user message."""
    users = [m["content"] for m in question.messages if m["role"] == "user"]
    return text_key(users[-1] if users else "")


def text_key(prompt: str) -> str:
    """Normalise white space."""
    return " ".join(prompt.split())
