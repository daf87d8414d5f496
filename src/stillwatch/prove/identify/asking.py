"""Collects a suspect's answers as a pool: a file is read, an endpoint or weights are asked.

The questions are the library's prompts, or the probes beside this file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from stillwatch.prove.identify import IdentifyError
from stillwatch.prove.pool import Pool, prompt_id
from stillwatch.prove.pool.reading import read_pool, without_reasoning
from stillwatch.prove.recording import is_recording
from stillwatch.prove.suspect import Question, Tell, trouble
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.named import suspect as opened


@dataclass(frozen=True)
class AskingOptions:
    """How to query a suspect."""

    manners: Manners
    store: Path  # folder for an endpoint's answers
    consent: str | None = None


def probes() -> dict[str, str]:
    """The shipped probes: prompt id -> prompt. We wrote them ourselves; they are free to use."""
    text = files(__package__).joinpath("probes.txt").read_text(encoding="utf-8")
    return {prompt_id(line): line for line in text.splitlines() if line and not line.startswith("#")}


def choose_prompts(pool: Pool, models: Sequence[str], most: int) -> dict[str, str]:
    """Choose the prompts to ask: those that most references answered, ties by id.

    Raises: IdentifyError if the library does not hold the texts of its prompts.
    """
    if not pool.texts:
        raise IdentifyError(
            "the known answers have prompt ids and no prompts, so that nobody can be asked them; "
            "take them from files with a prompt column, or give the suspect's outputs as a file"
        )
    votes = {prompt: sum(prompt in pool.answers[model] for model in models) for prompt in pool.texts}
    order = sorted(votes, key=lambda prompt: (-votes[prompt], prompt))
    return {prompt: pool.texts[prompt] for prompt in order[:most]}


def answers_of(place: str, name: str, prompts: Mapping[str, str], way: AskingOptions, tell: Tell) -> Pool:
    """Collect a suspect's answers as a pool of one model called `name`. Raises: ProveError."""
    if is_recording(place):
        own = read_pool([Path(place)], name=name)
        if len(own.models) > 1 and name not in own.answers:
            raise IdentifyError(
                f"{place}: holds {len(own.models)} models ({', '.join(own.models[:3])} ...); name one of them"
            )
        model = name if name in own.answers else own.models[0]
        kept = own.of([model])
        if model == name:
            return kept
        usage = {name: kept.prompt_tokens[model]} if model in kept.prompt_tokens else {}
        return Pool(kept.prompts, {name: kept.answers[model]}, kept.texts, usage, kept.unread)
    source = opened(place, way.manners, way.store, way.consent, weighs=False)
    questions = [Question(key, ({"role": "user", "content": text},)) for key, text in prompts.items()]
    texts_of = source.answers(questions, 1, tell)
    answers = {
        key: tuple(text for text_ in texts if (text := without_reasoning(text_)))
        for key, texts in texts_of.items()
    }
    answers = {key: texts for key, texts in sorted(answers.items()) if texts}
    if not answers:
        raise IdentifyError(f"{place}: answered none of {len(questions)} prompts{trouble(source)}")
    texts = {key: prompts[key] for key in answers}
    if not isinstance(source, Endpoint):
        return Pool(tuple(answers), {name: answers}, texts, {})
    usage = {name: source.prompt_tokens(questions)}
    return Pool(tuple(answers), {name: answers}, texts, usage, checked=source.checked())


def as_lines(prompts: Mapping[str, str]) -> str:
    """Format prompts as JSONL, to be answered by hand or by another program."""
    return "".join(
        json.dumps({"prompt_id": key, "prompt": text, "output": ""}, ensure_ascii=False) + "\n"
        for key, text in prompts.items()
    )
