"""The protocol of a watermark test, signed before the suspect is asked; and a key revealed with its pairs."""

import json
from collections.abc import Sequence
from pathlib import Path

from stillwatch.errors import refuse_os_errors
from stillwatch.prove.checker import SCORED
from stillwatch.prove.protocol import Protocol, Signed, prompts_digest
from stillwatch.prove.radioactivity import RadioactivityError, RadioactivitySettings, TokenSelection
from stillwatch.prove.radioactivity.judge import CLAIM, METHOD, RadioactivityResult
from stillwatch.prove.radioactivity.statistic import NULL, STATISTIC
from stillwatch.report.findings import write_atomically
from stillwatch.watermark import Mark
from stillwatch.watermark.formula import commitment

KEYS = "keys of an actor, their scores added"  # in a protocol's settings, if there are several


def protocol(
    suspect: str,
    marks: Sequence[Mark],
    prompts: Sequence[str],
    settings: RadioactivitySettings,
    tokenizer: str,
    made_at: str,
) -> Protocol:
    """Write down the test: keys (as commitments), prompts (as SHA-256), statistic and alpha."""
    return Protocol(
        method=METHOD,
        suspect=suspect,
        claim=CLAIM,
        statistic=STATISTIC[settings.choice].format(window=settings.window),
        null=NULL[settings.choice],
        alpha=settings.alpha,
        units=tuple(mark.actor for mark in marks),
        prompts=len(prompts),
        prompts_sha256=prompts_digest(prompts),
        made_at=made_at,
        effect=settings.effect,
        commitments=tuple(commitment(key) for mark in marks for key in mark.keys),
        settings=(
            ("choice", str(settings.choice)),
            ("tokenizer", tokenizer),
            ("window", str(settings.window)),
            *(((KEYS, str(settings.keys)),) if settings.keys > 1 else ()),
        ),
    )


def fixed_by(signed: Signed) -> RadioactivitySettings:
    """Return the settings that a protocol fixed. Raises: RadioactivityError for another test's protocol."""
    fixed = signed.protocol
    settings = dict(fixed.settings)
    try:
        return RadioactivitySettings(
            int(settings["window"]), TokenSelection(settings["choice"]), fixed.alpha, fixed.effect or 0.0,
            int(settings.get(KEYS, "1")),
        )  # fmt: skip
    except (KeyError, ValueError):
        raise RadioactivityError(f"the protocol is of another test: {fixed.method}") from None


def held_to(signed: Signed, suspect: str, marks: Sequence[Mark], tokenizer: str) -> RadioactivitySettings:
    """Return the settings that a protocol fixed. Raises: RadioactivityError for another test."""
    fixed = signed.protocol
    fixed_settings = dict(fixed.settings)
    settings = fixed_by(signed)
    if fixed.suspect != suspect:
        raise RadioactivityError(f"the protocol is about {fixed.suspect!r:.80}, not about {suspect!r:.80}")
    if fixed_settings.get("tokenizer") != tokenizer:
        raise RadioactivityError(
            f"the protocol has tokenizer {fixed_settings.get('tokenizer')!r:.80}, not {tokenizer!r:.80}"
        )
    for mark in marks:
        if mark.actor not in fixed.units or not set(map(commitment, mark.keys)) <= set(fixed.commitments):
            raise RadioactivityError(
                f"{mark.actor}: the protocol is committed to another key: other actors, or another "
                "owner's key"
            )
    if len(marks) != len(fixed.units):
        raise RadioactivityError(f"the protocol tests {len(fixed.units)} actors, {len(marks)} are named")
    return settings


def asked_as_planned(signed: Signed, prompts: Sequence[str]) -> None:
    """Check that the answers are to the prompts of the protocol. Raises: RadioactivityError."""
    distinct = list(dict.fromkeys(prompts))
    if prompts_digest(distinct) != signed.protocol.prompts_sha256:
        raise RadioactivityError(
            f"the answers are to other prompts than the protocol's {signed.protocol.prompts:,}, or in "
            "another order of first appearance"
        )


def reveal(judged: RadioactivityResult, mark: Mark, path: Path) -> Path:
    """Write an actor's key with the scored pairs, so that anyone with the file can score them again.

    The key is then spent: a reader can remove the mark, or forge it. The owner's key stays secret.
    """
    document = {
        "kind": SCORED,
        "actor": mark.actor,
        "key": mark.key.hex(),
        **({"more": [key.hex() for key in mark.more]} if mark.more else {}),
        "window": mark.window,
        **judged.statistic.disclose(*mark.keys),
    }
    with refuse_os_errors(RadioactivityError, f"{path}: cannot be written"):
        write_atomically(path, json.dumps(document, separators=(",", ":")) + "\n")
    return path
