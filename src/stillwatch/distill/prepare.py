"""Creates a run's folder: the resolved plan, the prompts, the held-out set, the teacher's terms.

Running it again with the same plan writes the same files.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, DistillRun, PlanError, Prompt
from stillwatch.distill.curate.contamination import HeldOut, user_text
from stillwatch.distill.ledger import lock_out_collectors
from stillwatch.distill.plan import DistillPlan, PromptSource, text
from stillwatch.distill.rows import (
    line,
    objects,
    read_json,
    read_prompts,
    replace_file,
    write_json,
    write_rows,
)
from stillwatch.distill.tasks.registry import task
from stillwatch.distill.teachers import record
from stillwatch.errors import RejectedLine, refuse_os_errors

LONGEST_ID = 200
MOST_DRAWN = 20  # times the wanted number: if nearly all that a task makes is left out, more would be too
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class PreparedRun:
    """The start of a run."""

    run: DistillRun
    prompts: int
    heldout: int
    rejected: tuple[RejectedLine, ...]
    duplicates: int  # repeated prompts
    contaminated: int  # prompts left out because they are in the evaluation set
    teacher: dict[str, Any]


def prepare(plan: DistillPlan, who: str, now_us: int, again: bool = True) -> PreparedRun:
    """Create the folder, or (`again` false) open it and only write the plan again.

    Raises: PlanError, DistillError.
    """
    run = DistillRun(Path(plan.folder))
    _demand(plan)
    teacher = record(plan.teacher, who, now_us)
    with refuse_os_errors(DistillError, f"{run.path}: cannot be made"):
        run.path.mkdir(parents=True, exist_ok=True)
    with lock_out_collectors(run.ledger):  # a second process would overwrite the first one's plan
        if run.teacher.exists():
            before = read_json(run.teacher)
            if before.get("i_may") == teacher["i_may"] and before.get("model") == teacher["model"]:
                teacher |= {key: before.get(key) for key in ("said_by", "said_at_us")}
        if not again and run.prompts.exists() and run.heldout.exists():
            prompts, heldout = list(read_prompts(run.prompts)), list(read_prompts(run.heldout))
            prepared = PreparedRun(run, len(prompts), len(heldout), (), 0, 0, teacher)
        else:
            prepared = _make(run, plan, teacher)
        write_json(run.teacher, teacher)
        replace_file(run.plan, [text(replace(plan, folder=str(run.path))).encode()])
    return prepared


def _demand(plan: DistillPlan) -> None:
    teacher, budget = plan.teacher, plan.budget
    if not plan.folder:
        raise PlanError("the run has no folder: give --folder, or a plan file")
    if not teacher.base_url or not teacher.model:
        raise PlanError("teacher.base_url and teacher.model are needed: whom shall be asked, and where?")
    if not plan.prompts.file and not plan.prompts.task:
        raise PlanError(
            "there are no prompts: give prompts.file (JSON lines) or prompts.task (clock, arithmetic, "
            "calculus)"
        )
    for name, source in (("prompts", plan.prompts), ("heldout", plan.heldout)):
        if source.task:
            task(source.task)
        if source.task and not source.file and not source.n:
            raise PlanError(f"{name}.n is 0: how many prompts shall the task {source.task} make?")
    if budget.usd is None and budget.tokens is None and budget.requests is None:
        raise PlanError(
            "there is no budget: give budget.usd, budget.tokens or budget.requests (--usd, --tokens, "
            "--requests); `stillwatch distill estimate` says what the whole plan may take"
        )


def _make(run: DistillRun, plan: DistillPlan, teacher: dict[str, Any]) -> PreparedRun:
    rejected: list[RejectedLine] = []
    heldout = list(_prompts(plan.heldout, True, rejected))
    fence = HeldOut([user_text(prompt.messages) for prompt in heldout], plan.curate.contamination_words)
    prompts: dict[str, Prompt] = {}
    duplicates = contaminated = 0
    wanted = plan.prompts.n
    drawn = wanted
    while True:
        prompts.clear()
        duplicates = contaminated = 0
        for prompt in _prompts(replace(plan.prompts, n=drawn), False, rejected):
            content = json.dumps(prompt.messages)
            if content in prompts:
                duplicates += 1
            elif fence.shares(user_text(prompt.messages)):
                contaminated += 1
            else:
                prompts[content] = prompt
            if wanted and len(prompts) == wanted:
                break
        if plan.prompts.file or len(prompts) >= wanted or drawn > MOST_DRAWN * wanted + 100:
            break
        drawn += max(8, 2 * (wanted - len(prompts)))  # a task makes replacements for those left out
    if not prompts:
        first = f"; the first: {rejected[0]}" if rejected else ""
        raise DistillError(
            f"no prompt can be used: {len(rejected)} lines were rejected, {contaminated} are in the held-out "
            f"set{first}"
        )
    write_rows(run.heldout, heldout)
    replace_file(
        run.path / "rejected.jsonl", (line({"place": row.place, "reason": row.reason}) for row in rejected)
    )
    write_rows(run.prompts, prompts.values())  # last: it marks the run as prepared
    return PreparedRun(run, len(prompts), len(heldout), tuple(rejected), duplicates, contaminated, teacher)


def _prompts(source: PromptSource, held_out: bool, rejected: list[RejectedLine]) -> Iterator[Prompt]:
    """Yield a source's prompts, with its system message; bad lines go to `rejected`."""
    if source.file:
        found = _of_file(source, rejected)
    elif source.task:
        found = iter(task(source.task).make(source.n, source.seed, held_out))
    else:
        return
    for prompt in found:
        if source.system and all(message["role"] != "system" for message in prompt.messages):
            opening = {"role": "system", "content": source.system}
            yield replace(prompt, messages=(opening, *prompt.messages))
        else:
            yield prompt


def _of_file(source: PromptSource, rejected: list[RejectedLine]) -> Iterator[Prompt]:
    seen: dict[str, str] = {}
    for place, row in objects(Path(source.file), rejected.append):
        try:
            prompt = _prompt(row, source)
            if prompt.id in seen:
                raise ValueError(f"the id {prompt.id[:60]!r} stands at {seen[prompt.id]} already")
        except ValueError as why:
            rejected.append(RejectedLine(place, str(why)))
            continue
        seen[prompt.id] = place
        yield prompt


def _prompt(row: dict[str, Any], source: PromptSource) -> Prompt:
    """One line of a prompts file. Raises: ValueError with what would be valid."""
    if "messages" in row:
        messages = _messages(row["messages"])
    elif isinstance(row.get("prompt"), str):
        messages = ({"role": "user", "content": row["prompt"]},)
    else:
        raise ValueError('has neither "prompt" (a text) nor "messages" (a list)')
    if not any(message["content"].strip() for message in messages):
        raise ValueError("asks nothing")
    name = row.get("task", source.task or "free")
    if not isinstance(name, str):
        raise ValueError(f'"task" is {name!r}, no name')
    try:
        judge = task(name)
    except PlanError as why:
        raise ValueError(str(why)) from why
    expected = row.get("expected")
    if judge.EXPECTS and (wrong := judge.check(expected)):
        raise ValueError(f'"expected" {wrong}; the task {name} wants {judge.EXPECTS}')
    kind = row.get("slice", "")
    id_ = row.get("id")
    if id_ is None:
        id_ = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:16]
    if not isinstance(id_, str | int) or not 0 < len(str(id_)) <= LONGEST_ID:
        raise ValueError(f'"id" is no text of 1 to {LONGEST_ID} characters')
    if not isinstance(kind, str):
        raise ValueError('"slice" is no text')
    try:
        json.dumps([str(id_), kind, messages], ensure_ascii=False).encode()
    except UnicodeEncodeError as why:
        raise ValueError(f"holds half a character ({why.reason}): no teacher can be sent it") from why
    return Prompt(str(id_), messages, name, expected, kind)


def _messages(found: Any) -> tuple[dict[str, str], ...]:
    if not isinstance(found, list) or not found:
        raise ValueError('"messages" is no list with messages')
    for message in found:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError("a message has no content that is text")
        if message.get("role") not in ROLES:
            raise ValueError(
                f"a message's role is {message.get('role')!r}; one of {', '.join(ROLES)} is wanted"
            )
    if found[-1]["role"] == "assistant":
        raise ValueError("the last message is the assistant's: nothing is asked")
    return tuple({"role": message["role"], "content": message["content"]} for message in found)
