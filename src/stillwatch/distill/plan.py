"""A plan: one TOML file, or flags, that says which teacher is distilled into what, and the budget.

Every key has a name, a type and a default here. An unknown key or a wrong type is refused with its place,
before anything is paid for.
"""

import dataclasses
import json
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from stillwatch.distill import PlanError, PlanFaults
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.train import CLOCK, Training
from stillwatch.errors import InputError
from stillwatch.toml.declared import Bounds, OneOf, build
from stillwatch.toml.document import parse, quote, read_text
from stillwatch.toml.places import Path as TomlPath
from stillwatch.toml.reading import Mistakes, TableReader

PLAN = "plan.toml"
COMMAND_LINE = "the command line"

# these determine a request's maximum cost and the answer's shape, so `extra` may not set them
RESERVED = frozenset(
    (
        "model",
        "messages",
        "stream",
        "n",
        "best_of",
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "top_logprobs",
    )
)

# keys that hold a model's folder or file, or something else
WORDS = (CLOCK, "ask", "skip")  # values of these keys that are no path
MODELS = (("train", "student"), ("train", "teacher"), ("train", "accelerate_config"), ("evaluate", "teacher"))

MOST_PROMPTS = 10_000_000
LARGEST_BYTES = 1 << 20
Dollars = Annotated[float, Bounds(0, 1e6)]


@dataclass(frozen=True)
class Teacher:
    """The teacher, and the right to use it. `i_may` is the reason for using it against its terms."""

    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"  # the variable that holds the key, which is never written anywhere
    headers: dict[str, str] = field(default_factory=dict)  # "$NAME" is replaced by that variable's value
    licence: str = ""  # empty: as in the table of teachers
    licence_url: str = ""
    terms_url: str = ""
    i_may: str = ""


@dataclass(frozen=True)
class PromptSource:
    """The source of prompts: a file of JSON lines, or a task that makes them."""

    file: str = ""
    task: str = ""  # makes the prompts; with a file: the task of lines that name none
    n: Annotated[int, Bounds(0, MOST_PROMPTS)] = 0  # 0: all of the file
    seed: int = 1
    system: str = ""  # added to every prompt without a system message


@dataclass(frozen=True)
class Asking:
    """How the teacher is asked: request parameters and pace."""

    samples: Annotated[int, Bounds(1, 100_000)] = 1  # of each prompt
    max_tokens: Annotated[int, Bounds(1, 10_000_000)] = 1024
    # "max_completion_tokens" for reasoning models that require it
    max_tokens_field: Annotated[str, OneOf("max_tokens", "max_completion_tokens")] = "max_tokens"
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None  # sample i is asked with seed + i
    reasoning: bool = True  # keep the trace if the teacher gives one
    reasoning_effort: str = ""
    logprobs: Annotated[int, Bounds(0, 20)] = 0  # alternatives per token; kept if offered
    extra: dict[str, Any] = field(default_factory=dict)  # added to the request as it is
    # requests under way at once: the most that a kill leaves in doubt
    concurrency: Annotated[int, Bounds(1, 1024)] = 8
    requests_per_minute: Annotated[int, Bounds(0)] = 0
    tokens_per_minute: Annotated[int, Bounds(0)] = 0
    timeout_s: Annotated[float, Bounds(0, above=True)] = 120.0
    tries: Annotated[int, Bounds(1)] = 5  # of one sample, not counting 429 and 503
    longest_wait_s: float = 60.0  # between two tries
    patience_s: float = 300.0  # without any answer, before it stops
    # "one": stop when another model answers than at first; "any": continue
    models: Annotated[str, OneOf("one", "any")] = "one"
    # "leave": requests under way when a process ended are not asked again
    in_doubt: Annotated[str, OneOf("ask", "leave")] = "ask"


@dataclass(frozen=True)
class Budget:
    """The most that all of a run's requests together may cost."""

    usd: Annotated[float, Bounds(0)] | None = None
    tokens: Annotated[int, Bounds(0)] | None = None  # in and out
    requests: Annotated[int, Bounds(0)] | None = None  # sent, whatever the answer


@dataclass(frozen=True)
class TeacherPrices:
    """US dollars per million tokens; empty: as in the table of prices."""

    input: Dollars | None = None
    output: Dollars | None = None
    cached_input: Dollars | None = None
    source: str = ""


@dataclass(frozen=True)
class CurationRules:
    """What curation drops. 0 means no limit."""

    verify: bool = True  # drop answers that the task judges wrong
    one_model: bool = True  # drop answers of another model than the first
    refusals: bool = True
    truncated: bool = True
    need_reasoning: bool = False
    least_answer_chars: int = 1
    most_answer_chars: int = 0
    most_reasoning_chars: int = 0
    # share of repeated 4-grams in a text of 100 words or more, 0 keeps all
    repetition: Annotated[float, Bounds(0, 1)] = 0.5
    duplicates: bool = True
    # Jaccard similarity of word triples from which two count as one
    near_duplicates: Annotated[float, Bounds(0, 1)] = 0.9
    contamination_words: Annotated[int, Bounds(0, 1000)] = 13  # words in a row shared with the evaluation set
    most_per_prompt: int = 0
    code_seconds: Annotated[float, Bounds(0, above=True)] = 10.0
    code_mib: Annotated[int, Bounds(64)] = 512


@dataclass(frozen=True)
class DistillPlan:
    """All settings of a run."""

    folder: str = ""
    teacher: Teacher = field(default_factory=Teacher)
    prompts: PromptSource = field(default_factory=PromptSource)
    heldout: PromptSource = field(default_factory=PromptSource)
    collect: Asking = field(default_factory=Asking)
    budget: Budget = field(default_factory=Budget)
    prices: TeacherPrices = field(default_factory=TeacherPrices)
    curate: CurationRules = field(default_factory=CurationRules)
    train: Training = field(default_factory=Training)
    evaluate: Evaluation = field(default_factory=Evaluation)


def load(path: Path | None, changes: dict[str, Any]) -> DistillPlan:
    """Read a plan file, or a run's folder; `changes` ({"collect.samples": 4}) override it.

    Files named in the plan are relative to it, those in `changes` to the current folder; a plan without a
    `folder` runs in a folder of its own name beside it. Raises: PlanError, with file and key.
    """
    table = TableReader({}, (), Mistakes(COMMAND_LINE, None))
    if path is not None:
        if path.is_dir():
            path = path / PLAN
        table = _toml(path)
        resolve(table.content, path.parent)
        table.content["folder"] = str(
            path.parent.resolve()
            if path.name == PLAN
            else path.parent.joinpath(table.content.get("folder") or path.stem).resolve()
        )
    for key, value in changes.items():
        _put(table.content, key, value)
        table.notes.elsewhere[tuple(key.split("."))] = COMMAND_LINE
    resolve(table.content, Path.cwd())
    return read_plan(table)


def read_plan(table: TableReader) -> DistillPlan:
    """Build the plan from a TOML table. Raises: PlanError with every mistake, each with its place."""
    plan = build(DistillPlan, table)
    if plan is not None:
        check(plan, table.notes)
    if table.notes.problems or plan is None:
        raise PlanFaults(table.notes.sentences())
    return plan


def _toml(path: Path) -> TableReader:
    try:
        return parse(read_text(path, LARGEST_BYTES, "a plan is a page"), str(path))
    except InputError as why:
        hint = "" if path.exists() else "; `stillwatch distill new` writes a plan"
        raise PlanError(f"{why}{hint}") from why


def resolve(table: dict[str, Any], folder: Path) -> None:
    """Make a table's file paths absolute; a name that is no file, such as a hub's model, stays as it is."""
    for name, key in (("", "folder"), ("prompts", "file"), ("heldout", "file"), *MODELS):
        within = table.get(name) if name else table
        if not isinstance(within, dict) or not isinstance(value := within.get(key), str) or not value:
            continue
        try:
            path = folder.joinpath(value)
            if (name, key) in MODELS and value in WORDS:
                continue
            if (name, key) not in MODELS or value.startswith("./") or path.exists():
                within[key] = str(path.resolve())
        except (ValueError, OSError, RuntimeError) as why:
            raise PlanError(f"{key} is {value!r}, no name of a file: {why}") from why


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    for name in above:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise PlanError(f"{key}: {name} is no section")
    table[last] = value


def check(plan: DistillPlan, notes: Mistakes, at: TomlPath = ()) -> None:
    """Report mistakes between keys, and others that bounds do not express, in the plan at a path."""
    if urlsplit(plan.teacher.base_url).username is not None:
        notes.wrong((*at, "teacher", "base_url"), "has a login in it; put the key into a variable")
    for key in sorted(RESERVED & plan.collect.extra.keys()):
        notes.wrong((*at, "collect", "extra", key), "has a place of its own in a plan; leave it out here")
    try:
        json.dumps(plan.collect.extra, allow_nan=False)
    except (TypeError, ValueError) as why:
        notes.wrong((*at, "collect", "extra"), f"goes into a request, and JSON does not have it: {why}")


def text(plan: DistillPlan) -> str:
    """Return the plan as TOML, with every key that has a value; `load` reads the same plan from it.

    >>> print(text(DistillPlan(folder="x")).splitlines()[0])
    folder = "x"
    """
    lines: list[str] = []
    sections: list[str] = []
    for name, value in _plain(plan).items():
        if isinstance(value, dict):
            sections += [
                "",
                f"[{name}]",
                *(f"{key} = {_toml_value(v)}" for key, v in value.items()),
            ]
        else:
            lines.append(f"{name} = {_toml_value(value)}")
    return "\n".join([*lines, *sections]) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {name: _plain(v) for name, v in pairs if v is not None}
    if isinstance(value, Enum):
        return value.value
    return value


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_toml_value(key)} = {_toml_value(v)}" for key, v in value.items())
        return "{ " + ", ".join(pairs) + " }"
    return repr(value)
