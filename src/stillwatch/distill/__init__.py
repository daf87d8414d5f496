"""A student taught by a teacher's answers: collect, curate, train, evaluate, report.

A run is a folder. Each step reads the files of the step before and writes its own atomically (a new file
beside the old one, then a rename), except the ledger, which is SQLite and is written as answers come.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from stillwatch.errors import Faults, StillwatchError
from stillwatch.folder_paths import Below, FolderPaths

EXTRA = "pip install 'stillwatch[train]'"


class DistillError(StillwatchError):
    """A step cannot go on; what was collected stays. The message says what to do."""


class BudgetReached(DistillError):
    """The next request might cost more than what is left of the budget."""


class PlanError(DistillError):
    """A plan asks for something impossible. It names the file and the key."""


class PlanFaults(PlanError, Faults):
    """All mistakes of one plan, reported together."""


@dataclass(frozen=True)
class Prompt:
    """One question. `expected` is what its task judges by: text, a number, or a dict with tests."""

    id: str
    messages: tuple[dict[str, str], ...]  # {"role", "content"}, oldest first
    task: str  # a module of distill/tasks: "clock", "arithmetic", "maths", "exact", "code", "free"
    expected: Any = None
    slice: str = ""  # what kind of question: evaluation counts by it


@dataclass(frozen=True)
class Sample:
    """One stored answer of the teacher: a line of collected.jsonl."""

    id: str  # the prompt's
    sample: int  # 0, 1, ... of the samples of one prompt
    prompt: tuple[dict[str, str], ...]
    reasoning: str | None  # the trace, wherever the teacher put it; None if there is none
    answer: str
    finish_reason: str | None
    usage: dict[str, Any]  # input_tokens, output_tokens, reasoning_tokens|None, estimated, usd|None
    teacher: str  # the model name that the answer gives
    params: dict[str, Any]  # as sent
    logprobs: list[Any] | None = None  # [token, logprob, [[token, logprob], ...]] each, where offered


@dataclass(frozen=True)
class Example:
    """One line of curated.jsonl: what training sees."""

    id: str
    sample: int
    prompt: tuple[dict[str, str], ...]
    reasoning: str | None
    answer: str
    task: str
    expected: Any = None
    tokens: int = 0  # output tokens paid to the teacher for this one


@dataclass(frozen=True)
class AnswerVerdict:
    """A task's judgement of an answer. `right` is None if it cannot tell."""

    right: bool | None
    said: str | None = None  # the answer found in the text
    why: str = ""


class Task(Protocol):
    """Interface of a module of distill/tasks: makes questions, if it can, and judges answers."""

    NAME: str
    EXPECTS: str  # description of a valid `expected`; "" if nothing is judged

    def make(self, n: int, seed: int, held_out: bool) -> list[Prompt]:
        """Raises: DistillError if prompts of this task come from files only."""

    def check(self, expected: Any) -> str | None:
        """Return what is wrong with a file's `expected`; None if answers can be judged by it."""

    def judge(self, expected: Any, text: str) -> AnswerVerdict: ...


class DistillRun(FolderPaths):
    """The paths in a run's folder."""

    plan = Below("plan.toml")  # resolved: every key, files by their full path
    prompts = Below("prompts.jsonl")  # {id, messages, task, expected}
    heldout = Below("heldout.jsonl")  # the evaluation set, same shape; never asked or trained on
    ledger = Below("ledger.db")
    collected_file = Below("collected.jsonl")
    curated_file = Below("curated.jsonl")
    curation = Below("curation.json")  # {collected, kept, filters: [{name, dropped, reason, examples}]}
    # {model, base_url, licence, licence_url, terms_url, training, says, source, i_may}
    teacher = Below("teacher.json")
    # the cost of collecting: {requests, input_tokens, output_tokens, usd, in_doubt, ...}
    spent = Below("spent.json")
    model = Below("model")
    training = Below("training.json")
    evaluation = Below("evaluation.json")
    report = Below("report.html")
