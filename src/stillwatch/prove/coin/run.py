"""Runs a coin test from ledger to evidence: choose pairs, sign the protocol, ask the suspect, add the coins.

The order is guaranteed: nothing is asked before the signed protocol is on disk, and no coin is read before
the leans are measured. A stopped run continues where it was.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stillwatch.cases.audit.signing import TrailSigner
from stillwatch.coin import Pair
from stillwatch.coin.verify import Head, Verified
from stillwatch.prove import Checked, Evidence, ProveError, evidence_json, planner, protocol
from stillwatch.prove.coin import PLACES, Fallen, Leaning
from stillwatch.prove.coin.actors import ActorOf
from stillwatch.prove.coin.betting import Bettor
from stillwatch.prove.coin.choosing import Chosen, Put, choose
from stillwatch.prove.coin.judge import Setting, evidence, fall
from stillwatch.prove.coin.leaning import UNITS, Kept, TextSampling, in_batches, lean, statistic_for
from stillwatch.prove.coin.leans import AHEAD, BY_HEART, CONTINUATIONS, RATIO
from stillwatch.prove.coin.randomise import DRAWS
from stillwatch.prove.proof import CLAIM, METHOD, NULL
from stillwatch.prove.protocol import Protocol, Signed
from stillwatch.prove.suspect import CONTINUE, Suspect, Tell, trouble

PROTOCOL, LEANS, EVIDENCE = "protocol.dsse.json", "leans.jsonl", "evidence.json"
BATCH = 64  # pairs between two writes, and between two checks for an early end
STATISTICS_IN_WORDS = {
    "likelihood": "mean log-likelihood a token of the first answer less that of the second",
    "top": "share of the first answer's tokens that are the suspect's own first choice, less the second's",
    "overlap": "of the runs of 1 to 4 words that only one of the answers has, the share that the suspect's "
    "own answers hold: the first's less the second's, averaged over its samples",
    **{
        name: "both answers are cut after the same numbers of words, spread from where they first differ; "
        f"{how}; how many of the next {AHEAD} words are the answer's before the first that is not (where "
        "likeliest tokens are told: the chance that the first token begins them), averaged over samples and "
        "cuts: the first answer's less the second's"
        for name, how in (
            ("continuation", "the suspect goes on from each beginning, given as its own"),
            ("continuation-by-prompt", f"the suspect is asked, {CONTINUE!r}"),
        )
    },
    RATIO: f"cut and asked as for `continuation`; of the next {AHEAD} words the log-likelihood ratio of a "
    f"suspect that says each by heart with chance {BY_HEART}, else as the base does, to the base, less what "
    "it is in the mean to the base; averaged over samples and cuts: the first answer's less the second's",
}
COUNTED = (
    "a base's value is taken off, where there is one, as far as it foretells the suspect's (least squares "
    "through zero, over the pairs that are asked together); each lean counts 1 to 8 by its size (ceil of 8 "
    "times its size over 3 medians, at most 8); the sum of what falls to the served answer; one-sided"
)


@dataclass(frozen=True)
class CoinRunRequest:
    """The settings of a run."""

    statistic: str | None = None
    alpha: float = 1e-5
    effect: float | None = None  # to be found, in standard deviations of a lean; None: the usual one
    most: int = 400  # most pairs of one actor
    samples: int = 1  # texts of the suspect for each question, for the statistics of texts
    places: int = PLACES  # in each answer, for the continuations
    seed: int = 1
    sequential: bool = False
    only: tuple[str, ...] = ()
    draws: int = DRAWS


@dataclass(frozen=True)
class Planned:
    """A test that is fixed and signed, but not begun."""

    signed: Signed
    chosen: Chosen
    statistic: str
    test: CoinRunRequest
    out: Path


@dataclass(frozen=True)
class CoinRunResult:
    """The result of a run."""

    evidence: Evidence
    fallen: tuple[Fallen, ...]
    asked: int  # pairs
    stopped_early: bool


def plan(
    pairs: Iterable[Pair],
    ledger: Verified,
    actor_of: ActorOf,
    suspect: Suspect,
    base: Suspect | None,
    test: CoinRunRequest,
    signer: TrailSigner,
    out: Path,
    made_at: str,
    beside: dict[str, str] | None = None,
) -> Planned:
    """Fix the test and sign it, before anything is asked. A test already signed there is continued.

    `beside`: further statements of the protocol (consent, how it asks).
    Raises: ProveError if another test was signed in that folder.
    """
    statistic = statistic_for(test.statistic, suspect, base)
    if test.effect is None:
        test = replace(test, effect=planner.EFFECTS.get(statistic))
    chosen = choose(pairs, actor_of, test.most, test.seed, test.only)
    made = _protocol(chosen, ledger, suspect, base, statistic, test, made_at, beside or {})
    path = out / PROTOCOL
    if path.exists():
        signed = protocol.taken_up(path, made)
    else:
        signed = protocol.sign(made, signer)
        protocol.write(signed, path)
    return Planned(signed, chosen, statistic, test, out)


def _protocol(
    chosen: Chosen, ledger: Verified, suspect: Suspect, base: Suspect | None, statistic: str,
    test: CoinRunRequest, made_at: str, beside: dict[str, str],
) -> Protocol:  # fmt: skip
    settings = {
        "statistic": statistic,
        "base": base.name if base else "none",
        "order": f"by SHA-256 of {test.seed} and the pair's number",
        "most pairs an actor": str(test.most),
        "draws": str(test.draws),
        **({"samples": str(test.samples)} if statistic in ("overlap", *CONTINUATIONS) else {}),
        **({"places in each answer": str(test.places)} if statistic in CONTINUATIONS else {}),
        **{f"left out, too few: {actor}": str(n) for actor, n in sorted(chosen.too_few.items())},
        **beside,
    }
    actors = len(chosen.actors)
    stop = "one look, when all answers are in"
    if test.sequential:
        stop = (
            f"bets in the order of the protocol, a look every {BATCH} pairs; it ends when the fortune of one "
            f"actor reaches {actors}/alpha, or when all pairs are asked"
        )
    return Protocol(
        method=METHOD,
        suspect=suspect.name,
        claim=CLAIM,
        statistic=f"{STATISTICS_IN_WORDS[statistic]}; {COUNTED}",
        null=NULL,
        alpha=test.alpha,
        units=chosen.actors,
        prompts=len(chosen.puts),
        prompts_sha256=protocol.prompts_digest([put.digest_input() for put in chosen.puts]),
        made_at=made_at,
        effect=test.effect,
        commitments=(
            *(f"coin key {commitment}" for commitment in ledger.commitments),
            *(f"ledger {head.ledger} {head.records} {head.hash}" for head in ledger.heads),
        ),
        stop=stop,
        settings=tuple(sorted(settings.items())),
    )


def ask(planned: Planned, suspect: Suspect, base: Suspect | None, tell: Tell) -> tuple[list[Leaning], bool]:
    """Measure the leans in the protocol's order; earlier measurements are reused.

    Returns the leanings, and whether it ended early by the protocol's rule. Raises: ProveError.
    """
    test, puts = planned.test, planned.chosen.puts
    marks = {
        "protocol": planned.signed.sha256, "statistic": planned.statistic, "suspect": suspect.name,
        "base": base.name if base else "none",
    }  # fmt: skip
    kept = Kept(planned.out / LEANS, marks)
    done = 0
    bettors = {actor: Bettor() for actor in planned.chosen.actors}
    for batch in _batches(planned, suspect, kept):
        new = [put for put in batch if put.id not in kept.values]
        if new:
            kept.add(
                lean(
                    new,
                    planned.statistic,
                    suspect,
                    base,
                    TextSampling(test.samples, test.places),
                    _within(tell, done, len(new), len(puts)),
                )
            )
        done += len(batch)
        tell(done, len(puts))
        for leaning in leanings(batch, kept.values) if test.sequential else ():
            bettors[leaning.actor].bet(leaning.towards_served)
        if any(bettor.highest >= len(bettors) / test.alpha for bettor in bettors.values()):
            return leanings(puts[:done], kept.values), done < len(puts)
    return leanings(puts, kept.values), False


def _batches(planned: Planned, suspect: Suspect, kept: Kept) -> Sequence[Sequence[Put]]:
    """Return the pairs that are asked together; with a file, which costs nothing, all at once."""
    puts = planned.chosen.puts
    whole = not planned.test.sequential and suspect.offers <= {"answers", "continuations"}
    return [puts] if whole else list(in_batches(puts, BATCH))


def _within(tell: Tell, before: int, batch: int, of: int) -> Tell:
    def told(done: int, total: int) -> None:
        tell(before + (batch * done // total if total else 0), of)

    return told


def leanings(puts: Sequence[Put], values: dict[str, float | None]) -> list[Leaning]:
    """Combine the coins with the leans."""
    return [
        Leaning(put.id, put.actor, value, put.pair.served)
        for put in puts
        if (value := values.get(put.id)) is not None
    ]


def judge(
    planned: Planned, found: list[Leaning], suspect: Suspect, base: Suspect | None, *, stopped: bool = False,
    checks: tuple[Checked, ...] = (),
) -> CoinRunResult:  # fmt: skip
    """Compute the result of the coins, and write it. Raises: ProveError if there is no result."""
    test, chosen = planned.test, planned.chosen
    if not found:
        raise ProveError(
            f"{suspect.name}: none of the {len(chosen.puts):,} pairs could be measured{trouble(suspect)}"
        )
    fallen: list[Fallen] = []
    silent: list[str] = []
    by_actor: dict[str, list[Leaning]] = {actor: [] for actor in chosen.actors}
    for leaning in found:
        by_actor[leaning.actor].append(leaning)
    for actor, mine in by_actor.items():
        outcome = fall(actor, mine, chosen.ties.get(actor, 0), _seed(planned, actor), test.draws)
        if outcome is None:
            silent.append(actor)
        else:
            fallen.append(outcome)
    if not fallen:
        raise ProveError(
            f"{suspect.name}: leans to neither answer in any of {len(found):,} pairs; is the base that is "
            "taken off the suspect itself, or does it say nothing that either answer says?"
        )
    if silent:
        sentence = f"{', '.join(silent)}: the suspect leans to neither answer of theirs; no p-value"
        checks = (*checks, Checked("actors without a lean", sentence, True))
    each = test.alpha / len(fallen)
    fewest = min(outcome.n for outcome in fallen)
    power = planner.power_of(planned.statistic, test.effect, fewest, each, test.places)
    setting = Setting(
        suspect.name, base.name if base else None, planned.statistic, UNITS[planned.statistic], test.alpha,
        power.words, power.enough and not stopped, test.sequential, test.draws, planned.signed.sha256,
        (*_measurement_checks(planned, found), *checks),
    )  # fmt: skip
    own_evidence = evidence(fallen, found, setting)
    evidence_json.write(own_evidence, planned.out / EVIDENCE)
    return CoinRunResult(own_evidence, tuple(fallen), len(found), stopped)


def _seed(planned: Planned, actor: str) -> int:
    """Return the seed for throwing one actor's coins again: fixed by the signed protocol."""
    return int.from_bytes(hashlib.sha256(planned.signed.envelope + actor.encode()).digest()[:8], "big")


def _measurement_checks(planned: Planned, found: list[Leaning]) -> list[Checked]:
    chosen = planned.chosen
    missing = len(chosen.puts) - len(found)
    repeated = len(found) - len({json.dumps(put.messages) for put in chosen.puts})
    checks = [
        Checked(
            "pairs that could not be measured",
            f"{missing:,} of {len(chosen.puts):,}; left out whichever answer was served",
            missing <= len(chosen.puts) // 5,
        )
    ]
    nothing = sum(leaning.value == 0 for leaning in found)
    if nothing > len(found) // 2:
        checks.append(
            Checked(
                "answers that have nothing of either",
                f"{nothing:,} of {len(found):,}: refusals, another language, or other prompts than these?",
                False,
            )
        )
    if repeated > 0:
        checks.append(
            Checked("prompts asked more than once", f"{repeated:,}; each has a coin of its own", True)
        )
    return checks


def published_checks(
    heads: tuple[Head, ...], commitments: frozenset[str], verified: Verified
) -> tuple[Checked, Checked]:
    """Check whether what was published beforehand binds this ledger: its key, and its records.

    Only those to whom it was shown can say when.
    """
    unknown = [commitment for commitment in verified.commitments if commitment not in commitments]
    if not commitments:
        key = "no commitment was given: that the key is older than the answers is the owner's own word"
    elif unknown:
        key = f"{len(unknown)} of the ledger's keys is in no commitment that was given"
    else:
        key = "every key of the ledger is in the commitments that were given"
    named = {head.ledger for head in heads}
    beyond = [head.ledger for head in verified.heads if head.ledger not in named]
    if not heads:
        sentence = (
            "no published heads were given: that the ledger is older than the suspect is the owner's own word"
        )
    else:
        sentence = f"{len(heads)} published heads lie in the ledger"
        sentence += f"; {len(beyond)} files came after them" if beyond else ""
    return (
        Checked("the coin's key against its commitment", key, bool(commitments) and not unknown),
        Checked("the ledger against published heads", sentence, bool(heads) and not beyond),
    )
