"""A plan: one TOML file, or flags, that says what is distilled from whom, with what, for how much at most.

Every key has a name, a type and a default here; an unknown key or a wrong type is refused with its place,
before anything is paid for. It asks nobody and writes nothing.
"""

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union
from urllib.parse import urlsplit

from stillwatch.distill import DistillError, PlanError
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.train import CLOCK, Training

PLAN = "plan.toml"
EMBEDDED = "embedded:"  # a base_url that starts so is served by ourselves while it is asked

# what a request's cost is bounded by, and what the answer's shape depends on: not to be set behind our back
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

# keys that name a model's folder or file, where there is one, or something else
WORDS = (CLOCK, "ask", "skip")  # that mean something of their own there
MODELS = (("train", "student"), ("train", "teacher"), ("train", "accelerate_config"), ("evaluate", "teacher"))

MOST_PROMPTS = 10_000_000

Section = TypeVar("Section")


@dataclass(frozen=True)
class Teacher:
    """Who is asked, and on what right. `i_may` says why one may, where the teacher's terms say no."""

    base_url: str = ""
    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"  # the variable that holds the key; the key itself is written nowhere
    headers: dict[str, str] = field(default_factory=dict)  # "$NAME" stands for that variable's value
    licence: str = ""  # empty: what the table of teachers says
    licence_url: str = ""
    terms_url: str = ""
    i_may: str = ""


@dataclass(frozen=True)
class PromptSource:
    """Where prompts come from: a file of JSON lines, or a task that makes them."""

    file: str = ""
    task: str = ""  # made by it; with a file: of the lines that name none
    n: int = 0  # 0: all of the file
    seed: int = 1
    system: str = ""  # put before every prompt that has no system message of its own


@dataclass(frozen=True)
class Asking:
    """How the teacher is asked: what goes into each request, and at what pace they go."""

    samples: int = 1  # of each prompt
    max_tokens: int = 1024
    max_tokens_field: str = "max_tokens"  # "max_completion_tokens" where a reasoning model wants that
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None  # sample i is asked with seed + i
    reasoning: bool = True  # keep the trace where the teacher gives one
    reasoning_effort: str = ""
    logprobs: int = 0  # alternatives a token; kept where offered
    extra: dict[str, Any] = field(default_factory=dict)  # into the request as it is
    concurrency: int = 8  # requests under way at once: what a kill may leave in doubt, at most
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    timeout_s: float = 120.0
    tries: int = 5  # of one sample, not counting 429 and 503
    longest_wait_s: float = 60.0  # between two tries
    patience_s: float = 300.0  # without any answer, then it stops
    in_doubt: str = "ask"  # or "leave": what was under way when a process ended is not asked again


@dataclass(frozen=True)
class Budget:
    """What all of a run's requests together may cost at most."""

    usd: float | None = None
    tokens: int | None = None  # in and out
    requests: int | None = None  # sent, whatever was answered


@dataclass(frozen=True)
class TeacherPrices:
    """US dollars a million tokens; empty: what the table of prices says of the model."""

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None
    source: str = ""


@dataclass(frozen=True)
class CurationRules:
    """What curating drops. A limit of 0 is none."""

    verify: bool = True  # drop what the task judges wrong
    refusals: bool = True
    truncated: bool = True
    need_reasoning: bool = False
    least_answer_chars: int = 1
    most_answer_chars: int = 0
    most_reasoning_chars: int = 0
    repetition: float = 0.5  # share of repeated 4-grams in a text of 100 words or more, 0 keeps all
    duplicates: bool = True
    near_duplicates: float = 0.9  # Jaccard similarity of word triples from which two are one
    contamination_words: int = 13  # words in a row shared with the evaluation set
    most_per_prompt: int = 0
    code_seconds: float = 10.0
    code_mib: int = 512


@dataclass(frozen=True)
class DistillPlan:
    """Everything a run goes by."""

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
    """Read a plan file, or a run's folder; `changes` ({"collect.samples": 4}) go over it.

    Files named in the plan are relative to it, those in `changes` to the current folder; a plan without a
    `folder` runs in a folder of its own name beside it. Raises: PlanError, with file and key.
    """
    place = "the command line" if path is None else str(path)
    table: dict[str, Any] = {}
    if path is not None:
        if path.is_dir():
            path = path / PLAN
            place = str(path)
        table = _toml(path)
        _resolve(table, path.parent)
        table["folder"] = str(
            path.parent.resolve()
            if path.name == PLAN
            else path.parent.joinpath(table.get("folder") or path.stem).resolve()
        )
    for key, value in changes.items():
        _put(table, key, value)
    _resolve(table, Path.cwd())
    plan = section(DistillPlan, table, place)
    _check(plan, place)
    return plan


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as why:
        raise PlanError(
            f"{path}: cannot be read: {why.strerror}; `stillwatch distill new` writes a plan"
        ) from why
    except UnicodeDecodeError as why:
        raise PlanError(f"{path}: is not UTF-8 text") from why
    except (tomllib.TOMLDecodeError, RecursionError) as why:
        raise PlanError(f"{path}: is no TOML: {why}") from why


def _resolve(table: dict[str, Any], beside: Path) -> None:
    """Make the files of a table absolute; what names no file, such as a model on a hub, stays as it is."""
    for name, key in (("", "folder"), ("prompts", "file"), ("heldout", "file"), *MODELS):
        within = table.get(name) if name else table
        if not isinstance(within, dict) or not isinstance(value := within.get(key), str) or not value:
            continue
        try:
            there = beside.joinpath(value)
            if (name, key) in MODELS and value in WORDS:
                continue
            if (name, key) not in MODELS or value.startswith("./") or there.exists():
                within[key] = str(there.resolve())
        except (ValueError, OSError, RuntimeError) as why:
            raise PlanError(f"{key} is {value!r}, no name of a file: {why}") from why


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    for name in above:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise PlanError(f"{key}: {name} is no section")
    table[last] = value


def section(kind: type[Section], table: Any, place: str, at: str = "") -> Section:
    """Build a section's dataclass from a TOML table. Raises: PlanError naming the key and what it may be."""
    if not isinstance(table, dict):
        raise PlanError(f"{place}: [{at}] is {table!r}; a section with keys is wanted")
    hints = typing.get_type_hints(kind)
    known = {one.name: hints[one.name] for one in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{at}.{name}" if at else name
        if name not in known:
            raise PlanError(f"{place}: there is no key {key}; known are {', '.join(known)}")
        values[name] = _value(known[name], value, place, key)
    try:
        return kind(**values)
    except DistillError as why:  # a section that checks itself
        raise PlanError(f"{place}: {why}") from why


def _value(kind: Any, value: Any, place: str, key: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return section(kind, value, place, key)
    if typing.get_origin(kind) in (Union, types.UnionType):
        kinds = [one for one in typing.get_args(kind) if one is not type(None)]
        return _value(kinds[0], value, place, key)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list):
            return tuple(_value(typing.get_args(kind)[0], one, place, key) for one in value)
    elif typing.get_origin(kind) is dict:
        if isinstance(value, dict):
            return {
                name: _value(typing.get_args(kind)[1], one, place, f"{key}.{name}")
                for name, one in value.items()
            }
    elif kind is Any:
        return value
    elif isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(str(one.value) for one in kind)
            raise PlanError(f"{place}: {key} is {value!r}; one of {names} is wanted") from None
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif type(value) is kind:
        if kind is str and any("\ud800" <= c <= "\udfff" for c in value):
            raise PlanError(f"{place}: {key} is {value!r}, which is no text in UTF-8")
        return value
    name = getattr(kind, "__name__", None) if not typing.get_origin(kind) else str(kind)
    raise PlanError(f"{place}: {key} is {value!r}; {name} is wanted")


def _check(plan: DistillPlan, place: str) -> None:
    asking, budget = plan.collect, plan.budget
    rules = [
        (1 <= asking.samples <= 100_000, "collect.samples", asking.samples, "1 to 100,000"),
        (1 <= asking.max_tokens <= 10_000_000, "collect.max_tokens", asking.max_tokens, "1 or more"),
        (1 <= asking.concurrency <= 1024, "collect.concurrency", asking.concurrency, "1 to 1024"),
        (0 <= asking.logprobs <= 20, "collect.logprobs", asking.logprobs, "0 to 20"),
        (asking.tries >= 1, "collect.tries", asking.tries, "1 or more"),
        (asking.timeout_s > 0, "collect.timeout_s", asking.timeout_s, "more than 0"),
        (asking.requests_per_minute >= 0, "collect.requests_per_minute", asking.requests_per_minute, "0 up"),
        (asking.tokens_per_minute >= 0, "collect.tokens_per_minute", asking.tokens_per_minute, "0 or more"),
        (asking.in_doubt in ("ask", "leave"), "collect.in_doubt", asking.in_doubt, '"ask" or "leave"'),
        (
            asking.max_tokens_field in ("max_tokens", "max_completion_tokens"),
            "collect.max_tokens_field",
            asking.max_tokens_field,
            '"max_tokens" or "max_completion_tokens"',
        ),
        (budget.usd is None or budget.usd >= 0, "budget.usd", budget.usd, "0 or more"),
        (budget.tokens is None or budget.tokens >= 0, "budget.tokens", budget.tokens, "0 or more"),
        (budget.requests is None or budget.requests >= 0, "budget.requests", budget.requests, "0 or more"),
        (0 <= plan.prompts.n <= MOST_PROMPTS, "prompts.n", plan.prompts.n, "0 to 10,000,000"),
        (0 <= plan.heldout.n <= MOST_PROMPTS, "heldout.n", plan.heldout.n, "0 to 10,000,000"),
        *(
            (one is None or 0 <= one <= 1e6, f"prices.{name}", one, "0 to 1,000,000")
            for name, one in (
                ("input", plan.prices.input),
                ("output", plan.prices.output),
                ("cached_input", plan.prices.cached_input),
            )
        ),
        (
            0 <= plan.curate.near_duplicates <= 1,
            "curate.near_duplicates",
            plan.curate.near_duplicates,
            "0 to 1",
        ),
        (
            0 <= plan.curate.contamination_words <= 1000,
            "curate.contamination_words",
            plan.curate.contamination_words,
            "0 to 1,000",
        ),
        (0 <= plan.curate.repetition <= 1, "curate.repetition", plan.curate.repetition, "0 to 1"),
        (plan.curate.code_seconds > 0, "curate.code_seconds", plan.curate.code_seconds, "more than 0"),
        (plan.curate.code_mib >= 64, "curate.code_mib", plan.curate.code_mib, "64 or more"),
    ]
    for good, key, value, wanted in rules:
        if not good:
            raise PlanError(f"{place}: {key} is {value!r}; {wanted} is wanted")
    if urlsplit(plan.teacher.base_url).username is not None:
        raise PlanError(f"{place}: teacher.base_url has a login in it; put the key into a variable")
    taken = RESERVED & asking.extra.keys()
    if taken:
        raise PlanError(
            f"{place}: collect.extra names {', '.join(sorted(taken))}, which has a place of its own"
        )


def text(plan: DistillPlan) -> str:
    """The plan as TOML, every key that has a value; `load` reads the same plan from it.

    >>> print(text(DistillPlan(folder="x")).splitlines()[0])
    folder = "x"
    """
    lines: list[str] = []
    sections: list[str] = []
    for name, value in _plain(plan).items():
        if isinstance(value, dict):
            sections += ["", f"[{name}]", *(f"{key} = {_toml_value(one)}" for key, one in value.items())]
        else:
            lines.append(f"{name} = {_toml_value(value)}")
    return "\n".join([*lines, *sections]) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        pairs = ((one.name, getattr(value, one.name)) for one in fields(value))
        return {name: _plain(one) for name, one in pairs if one is not None}
    if isinstance(value, Enum):
        return value.value
    return value


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(
            f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else {'"': '\\"', "\\": "\\\\"}.get(c, c)
            for c in value
        )
        return f'"{escaped}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_toml_value(key)} = {_toml_value(one)}" for key, one in value.items())
        return "{ " + ", ".join(pairs) + " }"
    return repr(value)
