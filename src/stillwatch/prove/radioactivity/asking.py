"""Asks a suspect the prompts and keeps what it writes, in the form that the test reads. It tests nothing."""

import json
from collections.abc import Sequence
from pathlib import Path

from stillwatch.errors import refuse_os_errors
from stillwatch.prove.radioactivity import RadioactivityError
from stillwatch.prove.suspect import Question, Suspect, Tell
from stillwatch.report.findings import write_atomically


def ask(suspect: Suspect, prompts: Sequence[str], samples: int, out: Path, tell: Tell) -> tuple[int, int]:
    """Write a row for each answer, in the prompts' order; give how many answers, and prompts without one.

    A prompt without an answer has a row with an empty one: which prompts were asked is part of the test.
    Raises: RadioactivityError where nothing was answered or the file cannot be written; ProveError.
    """
    questions = [Question(str(i), ({"role": "user", "content": prompt},)) for i, prompt in enumerate(prompts)]
    told = suspect.answers(questions, samples, tell)
    if not any(told.values()):
        raise RadioactivityError(f"{suspect.name}: answered none of {len(prompts):,} prompts")
    rows = [
        {"prompt": prompt, "output": output}
        for i, prompt in enumerate(prompts)
        for output in told.get(str(i)) or [""]
    ]
    with refuse_os_errors(RadioactivityError, f"{out}: cannot be written"):
        write_atomically(out, "".join(json.dumps(row) + "\n" for row in rows))
    silent = sum(not told.get(str(i)) for i in range(len(prompts)))
    return sum(map(len, told.values())), silent
