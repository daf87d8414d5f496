"""The coin test as it was sealed: the sealed pairs are put to a suspect, and a proof is written.

Nothing is left to choose: actors, pairs, statistic, base, samples and alpha are the seal's. Others are shown
`proof.json`: the disclosed actors' pairs, their measurements, and the seals.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillwatch.coin import Pair, Throw, openings
from stillwatch.prove import Checked, Evidence, Grade, ProveError, Row, evidence_json, planner
from stillwatch.prove import proof as proofs
from stillwatch.prove.coin import PLACES, leans
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.leaning import Kept, TextSampling, in_batches, measure_pairs, statistic_for
from stillwatch.prove.coin.seals import (
    Sealed,
    SealedCoins,
    consistencies,
    last_lines,
    records_of,
    sealed_coins,
    stamp_beside,
    tallies,
)
from stillwatch.prove.suspect import Suspect, Tell
from stillwatch.report.findings import write_atomically
from stillwatch.stats.intervals import clopper_pearson

PROOF, EVIDENCE = "proof.json", "evidence.json"
BATCH = 64


@dataclass(frozen=True)
class SealedActorResult:
    """Result of one sealed actor."""

    name: str
    n: int
    hits: int
    p_value: float
    p_adjusted: float
    pairs: int  # coins that are tested, without ties
    measured: int  # pairs with a lean; unmeasured ones count in n and give no power
    unpaired: int  # tested coins without a pair of answers: each counts as the largest lean, against


@dataclass(frozen=True)
class SealedTestOutcome:
    """The results of all sealed actors, and which of them are disclosed."""

    tested: tuple[SealedActorResult, ...]
    evidence: Evidence
    path: Path
    proof: Path | None


def run(
    sealed: Sealed,
    ledger: Path,
    coins: Iterable[Pair | Throw],
    suspect: Suspect,
    base: Suspect | None,
    out: Path,
    *,
    statistic: str | None,
    released: str,
    witnesses: Sequence[dict[str, Any]],
    disclose: Sequence[str],
    tell: Tell,
) -> SealedTestOutcome:
    """Run the sealed test. disclose: the actors to show; by default those found, or all if none was.

    Raises: ProveError.
    """
    test, allowed = sealed.seal["test"], sealed.seal["test"]["statistics"]
    chosen = statistic_for(statistic or (allowed[0] if len(allowed) == 1 else None), suspect, base)
    if chosen not in allowed:
        raise ProveError(f"--statistic {chosen}: the seal has {', '.join(allowed)}; what is sealed is tested")
    if (base.name if base else "none") != test["base"]:
        raise ProveError(f"the seal's base is {test['base']!r}, given is {base.name if base else 'none'!r}")
    unknown = sorted(set(disclose) - {actor["name"] for actor in sealed.actors})
    if unknown:
        raise ProveError(f"--disclose {unknown[0]}: is no sealed actor")
    found_coins = sealed_coins(sealed, coins, ledger)
    puts = sealed_puts(sealed, found_coins)
    if sealed.naming and not puts:
        raise ProveError(_too_few_coins(sealed))
    by_suspect = _ask(puts, chosen, suspect, out, sealed, tell)
    before = None if base is None else _ask(puts, chosen, base, out, sealed, tell, as_base=True)
    reading = _reading(sealed)
    tested = tuple(
        _judge(actor["name"], found_coins, chosen, reading, by_suspect, before, sealed.tests)
        for actor in sealed.actors
    )
    if not by_suspect:
        raise ProveError(f"{suspect.name}: none of the {len(puts):,} sealed pairs could be measured")
    found = [actor for actor in tested if actor.p_adjusted <= test["alpha"]]
    shown = [
        actor for actor in tested if (actor.name in disclose if disclose else actor in (found or tested))
    ]
    proof = None
    digest = ""
    if found or disclose:
        parts_written = _proof(
            sealed, ledger, found_coins, suspect, chosen, by_suspect, before, shown, released, witnesses
        )
        data = json.dumps(parts_written, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        digest = hashlib.sha256(data.encode("ascii")).hexdigest()
        out.mkdir(parents=True, exist_ok=True)
        proof = out / PROOF
        write_atomically(proof, data)
    evidence = _evidence(sealed, suspect, chosen, tested, shown, digest)
    return SealedTestOutcome(tested, evidence, evidence_json.write(evidence, out / EVIDENCE), proof)


def _too_few_coins(sealed: Sealed) -> str:
    test, since = sealed.seal["test"], sealed.chain[(sealed.naming or 0) - 1]["coins_from"]
    fewest = max(1, test["most"] // test.get("ends", openings.ENDS))
    return (
        f"none of the actors that seal {sealed.naming} named has {fewest} coins since {since} in the ledgers "
        "that were open then: let more fall, and seal again"
    )


def sealed_puts(sealed: Sealed, coins: SealedCoins) -> list[Put]:
    """Return the pairs that a seal puts to a suspect, in order: each actor's first coins, without ties."""
    owner = {name: actor for actor, names in coins.tested.items() for name in names}
    pairs = [name for name in owner if name in coins.pairs and not coins.pairs[name].tie]
    return [Put(coins.pairs[name], owner[name]) for name in openings.in_order(pairs, sealed.seal["number"])]


def _ask(
    puts: Sequence[Put],
    statistic: str,
    suspect: Suspect,
    out: Path,
    sealed: Sealed,
    tell: Tell,
    *,
    as_base: bool = False,
) -> dict[str, Any]:
    """Measure each pair, and save each result at once, so that a stopped test can continue."""
    marks = {"seal": sealed.digest, "statistic": statistic, "suspect": suspect.name}
    name = hashlib.sha256(suspect.name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    kept = Kept(out / f"measured-{name}.jsonl", marks)
    whole = suspect.offers <= {"answers", "continuations"}
    done = 0
    for batch in [puts] if whole else in_batches(puts, BATCH):
        new = [put for put in batch if put.id not in kept.values]
        if new:
            kept.add(measure_pairs(new, statistic, suspect, _reading(sealed), tell, as_base=as_base))
        done += len(batch)
        tell(done, len(puts))
    return {name: value for name, value in kept.values.items() if value is not None}


def _reading(sealed: Sealed) -> TextSampling:
    test = sealed.seal["test"]
    return TextSampling(test["samples"], test.get("places", PLACES))  # seals before 2026-11-28 have no places


def _judge(
    actor: str,
    coins: SealedCoins,
    statistic: str,
    reading: TextSampling,
    by_suspect: dict[str, Any],
    before: dict[str, Any] | None,
    spend: float,
) -> SealedActorResult:
    by_id = coins.pairs
    tested = [name for name in coins.tested[actor] if name not in by_id or not by_id[name].tie]

    def values(measured: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
        some = {
            name: measured[name]
            for name in tested
            if name in measured and leans.is_whole(statistic, measured[name], reading.samples)
        }
        texts = {name: [answer.text for answer in by_id[name].answers] for name in some}
        found = {
            name: leans.valued(
                statistic, measured, texts[name], reading.samples, reading.places, beside.get(name)
            )
            for name, measured in some.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    lean = leans.leans(values(by_suspect, before or {}), None if before is None else values(before, {}))
    towards = [value if by_id[name].served == 0 else -value for name, value in lean.items()]
    n, hits, p = leans.tail(towards, len(tested) - len(lean))
    measured = sum(value != 0 for value in towards)
    unpaired = sum(name not in by_id for name in tested)
    return SealedActorResult(actor, n, hits, p, min(1.0, p * spend), len(tested), measured, unpaired)


def _proof(
    sealed: Sealed,
    ledger: Path,
    coins: SealedCoins,
    suspect: Suspect,
    statistic: str,
    mine: dict[str, Any],
    before: dict[str, Any] | None,
    shown: Sequence[SealedActorResult],
    released: str,
    witnesses: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    names = {actor.name for actor in shown}
    actors = [actor for actor in sealed.actors if actor["name"] in names]
    ids = [name for actor in actors for name in coins.tested[actor["name"]] if name in coins.pairs]
    shown_ids = [name for actor in actors for name in coins.shown[actor["name"]]]
    throws = [coins.throws[name] for name in shown_ids if name in coins.throws]
    return {
        "kind": proofs.KIND,
        "suspect": suspect.name,
        "released": released,
        "statistic": statistic,
        "base": sealed.seal["test"]["base"],
        "seals": list(sealed.chain),
        "consistency": consistencies(sealed.chain, ledger),
        "stamp": stamp_beside(sealed.path),
        "witnesses": list(witnesses),
        "actors": actors,
        "naming": _naming(replace(sealed, actors=tuple(actors)), ledger) if sealed.naming else None,
        "records": records_of([*(coins.pairs[name] for name in ids), *throws], sealed.seal, ledger),
        "measured": {name: mine[name] for name in ids if name in mine},
        "measured_base": {} if before is None else {name: before[name] for name in ids if name in before},
    }


def _naming(sealed: Sealed, ledger: Path) -> dict[str, Any]:
    """Return evidence that the actors were named before their coins, and that no coin is missing."""
    earlier, later = tallies(sealed, ledger)
    return {
        "seal": sealed.naming, "stamp": stamp_beside(sealed.naming_path), "earlier": earlier, "later": later,
        "last_lines": records_of(last_lines(sealed, ledger), sealed.seal, ledger),
    }  # fmt: skip


def _evidence(
    sealed: Sealed,
    suspect: Suspect,
    statistic: str,
    tested: Sequence[SealedActorResult],
    shown: Sequence[SealedActorResult],
    digest: str,
) -> Evidence:
    test = sealed.seal["test"]
    each = test["alpha"] / sealed.tests
    weakest = min(tested, key=lambda actor: 2 * actor.measured - actor.n)  # n includes what counts against
    power = planner.power_of(
        statistic, test["effect"], weakest.measured, each, _reading(sealed).places,
        against=weakest.n - weakest.measured,
    )  # fmt: skip
    rows = []
    for actor in (actor for actor in shown if actor.n):
        low, high = clopper_pearson(actor.hits, actor.n)
        rows.append(
            Row(actor.name, actor.n, actor.hits / actor.n, low, high, actor.p_value, actor.p_adjusted)
        )
    words = proofs.words(sealed.chain, sealed.naming, statistic)
    return Evidence(
        grade=Grade.COIN,
        method=words["method"],
        suspect=suspect.name,
        claim=words["claim"],
        null=words["null"],
        alpha=test["alpha"],
        unit=words["unit"],
        rows=tuple(rows),
        power="" if any(row.p_adjusted <= test["alpha"] for row in rows) else power.words,
        confounds=tuple(Checked(**confound) for confound in words["confounds"]),
        means_not=tuple(words["means_not"]),
        powered=power.enough,
        proof_sha256=digest,
    )
