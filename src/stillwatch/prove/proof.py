"""Checks the proof of a coin test: seals, time, openings, leans. It needs Python 3.9's standard library and
no secret.

This file travels unchanged in a proof's bundle. `examine` returns what contradicts itself (`wrong`), what is
missing before *trained* may be stated (`missing`), and the result for each disclosed actor. Whatever can be
computed is computed. The rest is stated as an assumption: that the suspect's answers are its own, that the
owner keeps to its statement on its own training, and that its gateway ordered the answers without knowing the
coin.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

KIND = "stillwatch proof 2"
KINDS = ("stillwatch proof 1", KIND)  # before 2026-12 no seal named actors for the coins to come
NAMES = {  # every name in a proof, in one of its records, and in one of its actors
    "proof": "actors base consistency kind measured measured_base naming records released seals stamp "
    "statistic suspect witnesses",
    "record": "index leaf ledger opening path",
    "actor": "accounts name pairs salt secrets",
    "naming": "earlier last_lines later seal stamp",
}
ADDED = {"naming", "secrets", "coins_from", "tally"}  # in 2026-12
TRAINING = ("excluded", "none")  # of paired answers in the owner's own training: either is acceptable
MOST_ALPHA = 1e-3  # a seal that allows more false findings proves nothing
FEWEST = 8  # leans of one actor
FAIR = 1e-3  # below this, a base leans to what was served by more than chance
FIXED = " sha256:"  # between a sealed base's name and the SHA-256 of its file or folder
FIXED_BASE = re.compile(rf"[^\r\n]+{FIXED}[0-9a-f]{{64}}")
EXCLUSION = "ties; what has no pair of answers, or no number of the suspect, counts against"
_HEX, _TEXT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[ -~]{1,200}")
_SHAPES: Mapping[str, Mapping[str, Any]] = {  # every name in a seal and its parts, and the values allowed
    "seal": {
        "kind": _TEXT, "number": 1, "owner": _HEX, "at": _TEXT, "before": (_HEX, None), "keys": list,
        "heads": list, "test": dict, "actors": list, "own_training": dict, "signature": _TEXT,
        "coins_from": _TEXT, "tally": dict,
    },
    "tally": {"accounts": 0, "root": _HEX, "untagged": 0},
    "key": {"epoch": _TEXT, "commitment": _HEX},
    "head": {"ledger": _TEXT, "size": 1, "root": _HEX},
    "test": {
        "statistics": list, "base": str, "alpha": float, "effect": float, "samples": 1, "most": FEWEST,
        "places": 1, "exclusion": _TEXT, "ends": 1,
    },
    "own_training": {"coined_answers": _TEXT, "excluded_sha256": (_HEX, None), "excluded": 0},
    "witness": {"kind": _TEXT, "seal": _HEX, "at": _TEXT, "witness": _HEX, "signature": _TEXT},
}  # fmt: skip
AUTHORITY = "a time-stamping authority"
LATEST = datetime.max.replace(tzinfo=timezone.utc)
LARGEST = 1e9  # of a measured value; anything larger is no lean
MOST = 1 << 53  # of a whole number


METHOD = "served-or-withheld coin"
CLAIM = "The suspect was trained, directly or through others, on answers that were served to the actor."
NULL = (
    "Each coin was thrown by a key that was committed to beforehand, apart from anything that the suspect "
    "could be made of. If the suspect was not trained on what was served, which of the two answers was "
    "served says nothing of which one it leans to: each lean falls to the served answer with chance 1/2."
)
UNIT = "share of the pairs in which the suspect leans to the answer that was served (0.5: no effect)"
OWN_TRAINING = (
    "the owner's own training: if its later models learned coined answers, whoever learns from those models' "
    "public answers leans the same way and is innocent"
)
CHOSEN = (
    "It rests on the owner's word that it chose the actor's accounts, and where their coins end, without "
    "regard to how their coins fell: a relative of the suspect shows beforehand which of them suit."
)
NAMED = (
    "It rests on the owner's word that the ledger holds each coin as it fell, and each account's coins as "
    "they were counted: a gateway that throws again, or lines that another program writes, are a choice."
)
MEANS_NOT = (
    "It does not say how the answers came to the suspect's makers: they may have bought them.",
    "It does not say how much of the suspect's training they were, or what it owes to them.",
    "It rests on the owner's word that its own training leaves coined answers out.",
    "It rests on the owner's word that its gateway put the two answers in an order that did not know the "
    "coin.",
    CHOSEN,
    "What the suspect said is its accuser's record: ask it the prompts again.",
    "That an actor is not found does not clear it: the effect may be smaller than was looked for.",
)


@dataclass(frozen=True)
class Trust:
    """What the checker supplies: nothing in a bundle can replace it."""

    stamp_ca: str | None = None  # PEM file of a time-stamping authority's root
    witnesses: Sequence[str] = ()  # public keys, hex
    released: str | None = None  # the suspect's release, ISO, as the checker knows it
    now: str | None = None  # time of this check: an existing suspect was released before it


@dataclass
class Examined:
    """The result of an examination."""

    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    actors: dict[str, dict[str, float]] = field(default_factory=dict)  # n, hits, p, adjusted
    tests: int = 0
    number: int = 0
    alpha: float = 0.0
    suspect: str = ""
    sealed_at: str = ""
    by: str = ""
    released: str = ""
    naming: int | None = None  # the number of the seal that named the actors before their coins were thrown
    witnessed: bool = False  # witnesses who would have refused a second seal of one number
    pairs: int = 0
    unpaired: int = 0  # tested coins of the disclosed actors that have no pair of answers
    stamped: bool = False  # by an authority that the checker trusts
    trust: Trust = Trust()  # under which it was examined
    words: dict[str, Any] = field(default_factory=dict)  # texts for the evidence of this test

    def facts(self) -> dict[str, Any]:
        """The facts that a verdict states about its seal, and its sender's assumptions."""
        names = ("number", "naming", "tests", "alpha", "sealed_at", "by", "released", "pairs", "unpaired")
        future = self.trust.released and self.trust.now and when(self.trust.released) > when(self.trust.now)
        granted = {
            "stamp": self.stamped, "witnesses": sorted(set(self.trust.witnesses)),
            "released": self.trust.released or "", "now": self.trust.now if future else None,
        }  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"granted": granted}

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong and nothing missing."""
        return not self.wrong and not self.missing


@dataclass(frozen=True)
class ProofFiles:
    """The files that this one needs: `openings`, `leans`, `timestamp`, and Ed25519."""

    openings: Any
    leans: Any
    timestamp: Any
    is_signed: Any


def when(text: str) -> datetime:
    """Read an ISO time; a bare day is its first moment, UTC. Raises: ValueError."""
    text = text + "T00:00:00Z" if len(text) == 10 else text
    text = text[:-1] + "+00:00" if text.endswith("Z") else text
    whole, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))  # before Python 3.11: three or six
    at = datetime.fromisoformat(
        whole + dot + (rest[:digits].ljust(6, "0")[:6] + rest[digits:] if dot else "")
    )
    if at.tzinfo is None:
        raise ValueError(f"{text}: says no time zone")
    return at


def examine(proof: Mapping[str, Any], signer: str | None, trust: Trust, parts: ProofFiles) -> Examined:
    """Check a whole proof. `signer`: the key that signed the bundle, or is about to.

    Raises: ValueError, KeyError, TypeError if it is not a proof.
    """
    found = Examined(trust=trust)
    if proof["kind"] not in KINDS:
        raise ValueError(f"is of kind {proof['kind']!r:.80}")
    _check_names(proof, found)
    seals = proof["seals"]
    for k, seal in enumerate(seals, 1):
        found.wrong += _misfits(seal, f"seal {k}", parts.leans.STATISTICS)
    if found.wrong:
        return found
    _chain(proof, found, parts)
    seal = seals[-1]
    test = seal["test"]
    found.suspect = str(proof["suspect"])
    found.number, found.alpha = seal["number"], float(test["alpha"])
    _naming(proof, found, trust, parts)
    found.tests = parts.openings.number_of_tests(seals, found.naming)
    if signer is not None and seal["owner"] != signer:
        found.missing.append(f"the seal is of key {seal['owner'][:16]}…, the bundle of {signer[:16]}…")
    _time(proof, seal, found, trust, parts)
    if found.alpha > MOST_ALPHA:
        found.missing.append(f"an alpha of {MOST_ALPHA:g} or less: the seal has {found.alpha:g}")
    statement = seal["own_training"]["coined_answers"]
    if statement == "excluded" and not seal["own_training"]["excluded_sha256"]:
        found.missing.append("the list of answers that the owner's training leaves out: the seal names none")
    if test["exclusion"] != EXCLUSION:
        found.missing.append(
            f"the rule of exclusion that is applied: the seal has {test['exclusion']!r:.100}"
        )
    if statement not in TRAINING:
        found.missing.append(
            "the owner has not sealed a statement that coined answers stay out of its own training: whoever "
            "learns from its later models' public answers would lean the same way"
        )
    if test["base"] != "none" and not FIXED_BASE.fullmatch(test["base"]):
        found.missing.append(
            f"a base that the seal fixes: {test['base']!r:.60} is a name, and under it another model can be "
            "chosen after looking, so that leans that do not suit are taken off"
        )
    if proof["statistic"] not in test["statistics"]:
        found.wrong.append(f"the statistic {proof['statistic']!r:.60} is not among the sealed ones")
    if proof["base"] != test["base"]:
        found.wrong.append(f"the base is {proof['base']!r:.60}, the sealed rule has {test['base']!r:.60}")
    if found.wrong:
        return found
    found.words = words(seals, found.naming, str(proof["statistic"]))
    records, throws = _records(proof, seal, found, parts)
    _actors(proof, seal, records, throws, found, parts)
    return found


def _check_names(proof: Mapping[str, Any], found: Examined) -> None:
    """Refuse a proof that holds a name from which nothing is computed."""
    held = [("proof", proof)]
    held += [("record", one) for one in proof["records"]] + [("actor", one) for one in proof["actors"]]
    if proof.get("naming") is not None:
        held += [("naming", proof["naming"])] + [("record", one) for one in proof["naming"]["last_lines"]]
    for kind, table in held:
        if odd := (set(table) ^ set(NAMES[kind].split())) - ADDED:
            found.wrong.append(f"{kind}: {sorted(odd)!r:.200} are missing, or unknown here")
    many = [actor["name"] for actor in proof["actors"]]
    if len(set(many)) != len(many) or not all(isinstance(name, str) for name in many):
        found.wrong.append("two of its actors have one name, or one has none")


def _misfits(seal: Any, place: str, statistics: Sequence[str]) -> list[str]:
    """Return which names of a seal are unknown or hold a wrong value. Its owner signs it."""
    wrong = _unlike(seal, "seal", place)
    if wrong:
        return wrong
    wrong = _unlike(seal["test"], "test", place) + _unlike(seal["own_training"], "own_training", place)
    wrong += _unlike(seal["tally"], "tally", place) if "tally" in seal else []
    for kind, held in (("key", seal["keys"]), ("head", seal["heads"])):
        wrong += [f"{place}: has no {kind}"] if not held else []
        wrong += [sentence for one in held for sentence in _unlike(one, kind, place)]
    wrong += [f"{place}: {one!r:.80} is no actor" for one in seal["actors"] if not _fits(one, _HEX)]
    if not wrong:
        test = seal["test"]["statistics"]
        wrong += [f"{place}: {one!r:.80} is no statistic" for one in test if one not in statistics]
        wrong += [f"{place}: a statistic appears twice"] if len(set(map(str, test))) != len(test) else []
    return wrong


def _unlike(table: Any, kind: str, place: str) -> list[str]:
    """Return which parts of an object do not match its shape. Older seals have no places, or no ends."""
    shape, added = _SHAPES[kind], {"places", "ends"}
    if type(table) is dict and table.get("kind") == "stillwatch seal 1":
        shape = {name: one for name, one in shape.items() if name not in ADDED}
    if type(table) is not dict or set(table) | added != set(shape) | added:
        return [f"{place}: {table!r:.100} is no {kind}"]
    return [
        f"{place}, {kind}: {name} cannot be {value!r:.80}"
        for name, value in table.items()
        if not any(
            _fits(value, one) for one in (shape[name] if type(shape[name]) is tuple else [shape[name]])
        )
    ]


def _fits(value: Any, wanted: Any) -> bool:
    """Return whether a value matches a shape. wanted: a type, a pattern, the least whole number, or None."""
    if isinstance(wanted, re.Pattern):
        return type(value) is str and wanted.fullmatch(value) is not None
    if type(wanted) is int:
        return type(value) is int and wanted <= value < MOST
    if wanted is float:
        return type(value) in (int, float) and 0 < value < LARGEST
    return value is None if wanted is None else type(value) is wanted


def words(chain: Sequence[Mapping[str, Any]], naming: int | None, statistic: str) -> dict[str, Any]:
    """Return the texts for evidence of a sealed test: its method, null and limits follow from the seals."""
    seal = chain[-1]
    test, training = seal["test"], seal["own_training"]["coined_answers"]
    over = f", less what {test['base']} foretells" if test["base"] != "none" else ""
    actors = sum(len(one["actors"]) for one in (chain[-1:] if naming is None else chain[:-1]))
    fell = (
        f"all {actors} actors that were sealed count, shown or not; their coins fell before the seal"
        if naming is None
        else f"seal {naming} named the actor, and its coins fell after that; all {actors} actors that were "
        "named earlier count, shown or not, and each of the places where their coins could end"
    )
    return {
        "method": f"{METHOD}, by {statistic}{over}; as sealed, all ways the coins could have fallen counted",
        "claim": CLAIM,
        "null": NULL,
        "unit": UNIT,
        "confounds": [
            {
                "what": OWN_TRAINING, "found": f"sealed statement: coined answers are {training}",
                "clear": training in TRAINING,
            },
            {
                "what": "choice after looking",
                "found": f"seal {seal['number']}: {fell}", "clear": naming is not None,
            },
        ],
        "means_not": [NAMED if naming and one == CHOSEN else one for one in MEANS_NOT],
    }  # fmt: skip


def _chain(proof: Mapping[str, Any], found: Examined, parts: ProofFiles) -> None:
    """Check the owner's seals up to this one: numbered without a gap, each naming the one before."""
    o = parts.openings
    before: Mapping[str, Any] | None = None
    grown = {(one["from"], one["ledger"]): one["path"] for one in proof["consistency"]}
    if any(set(one) != {"from", "ledger", "path"} for one in proof["consistency"]):
        found.wrong.append("how the ledgers grew is written in another than the one way")
    for k, seal in enumerate(proof["seals"], 1):
        place = f"seal {k}"
        if seal["kind"] not in o.SEALS or seal["number"] != k or type(seal["number"]) is not int:
            found.wrong.append(f"{place}: is numbered {seal['number']!r:.20}: one is left out, or is no seal")
        signature, owner = bytes.fromhex(seal["signature"]), bytes.fromhex(seal["owner"])
        if not parts.is_signed(owner, signature, o.signed_of_seal(seal)):
            found.wrong.append(f"{place}: is not signed by the owner that it names")
        if seal["before"] != (None if before is None else o.seal_digest(before)):
            found.wrong.append(f"{place}: does not follow the seal before it")
        if before is not None and seal["owner"] != before["owner"]:
            found.wrong.append(f"{place}: is of another owner than the one before")
        if len(set(seal["actors"])) != len(seal["actors"]) or not seal["actors"]:
            found.wrong.append(f"{place}: seals an actor twice, or none")
        if not 0 < seal["test"]["alpha"] < 1 or not seal["test"]["statistics"]:
            found.wrong.append(f"{place}: fixes no test")
        if len({head["ledger"] for head in seal["heads"]}) != len(seal["heads"]):
            found.wrong.append(f"{place}: has two heads of one ledger")
        now = {head["ledger"]: head for head in seal["heads"]}
        for head in before["heads"] if before is not None else ():
            late = now.get(head["ledger"])
            way = grown.get((k - 1, head["ledger"]), [])
            if late is None or not o.grew(head["size"], head["root"], late["size"], late["root"], way):
                found.wrong.append(f"{place}: its ledger {head['ledger']} does not go on from the one before")
        before = seal


def _time(
    proof: Mapping[str, Any], seal: Mapping[str, Any], found: Examined, trust: Trust, parts: ProofFiles
) -> None:
    """Check with third parties when the seal existed, and whether that is before the suspect's release."""
    times = _times(proof["stamp"], proof["witnesses"], seal, found, trust, parts)
    found.stamped = any(by == AUTHORITY for _, _, by in times)
    digests = {parts.openings.seal_digest(one) for one in proof["seals"]}
    for word in proof["witnesses"]:
        if type(word) is dict and word.get("witness") in trust.witnesses and word.get("seal") not in digests:
            found.wrong.append(f"the word of witness {word['witness'][:16]}… is of none of these seals")
    found.released = trust.released or ""
    if not times:
        had = (proof["stamp"] is not None) + len(proof["witnesses"])
        what = "none that you trust" if had else "none"
        found.missing.append(
            f"a third party's word on when key, heads, actors and test were sealed: {what}. A typed date is "
            "the owner's own word; name the authority's root (--stamp-ca) or the witness's key (--witness)"
        )
        return
    at, found.sealed_at, found.by = min(times)
    found.witnessed = any(by.startswith("witness") for _, _, by in times)
    if not found.released:
        found.missing.append(
            f"when the suspect was released. The sender says {proof['released'] or 'nothing'}, which is its "
            "own word; name the day that you know (--released)"
        )
    elif trust.now and when(found.released) > when(trust.now):
        found.missing.append(f"a release that lies before today: {found.released} is still to come")
    elif at >= when(found.released):
        found.missing.append(
            f"the seal is of {found.sealed_at}, the suspect was released at {found.released}"
        )


def _times(
    stamp: str | None,
    witnesses: Sequence[Mapping[str, Any]],
    seal: Mapping[str, Any],
    found: Examined,
    trust: Trust,
    parts: ProofFiles,
) -> list[tuple[datetime, str, str]]:
    """Return when a seal existed, by each third party that the checker trusts, and by which."""
    o, times = parts.openings, []
    if stamp is not None and trust.stamp_ca:
        at, why = parts.timestamp.stamped(
            base64.b64decode(stamp, validate=True), o.seal_bytes(seal), trust.stamp_ca
        )
        if why:
            found.wrong.append(f"the time stamp of seal {seal['number']} {why}")
        else:
            times.append((when(at), at, AUTHORITY))
    for word in witnesses:
        if _unlike(word, "witness", "proof"):
            found.wrong.append(f"{word!r:.100} is no word of a witness")
            continue
        if word["kind"] != o.WITNESS or word["witness"] not in trust.witnesses:
            continue
        if word["seal"] != o.seal_digest(seal):
            continue
        signature = bytes.fromhex(word["signature"])
        if not parts.is_signed(bytes.fromhex(word["witness"]), signature, o.signed_of_witness(word)):
            found.wrong.append(f"the word of witness {word['witness'][:16]}… is not signed by it")
        elif word["witness"] == seal["owner"]:
            found.wrong.append("the witness is the owner")
        else:
            times.append((when(word["at"]), word["at"], f"witness {word['witness'][:16]}…"))
    return times


def _naming(proof: Mapping[str, Any], found: Examined, trust: Trust, parts: ProofFiles) -> None:
    """Check the seal that named the actors: dated before their coins, with the same test and key."""
    seals, naming = proof["seals"], proof.get("naming")
    if naming is None:
        found.missing.append(
            "a seal that named the actors before their coins fell: these were sealed afterwards, when a "
            "relative of the suspect shows which accounts, and which ends of their coins, suit"
        )
        return
    if type(naming["seal"]) is not int or not 1 <= naming["seal"] < len(seals):
        raise ValueError(f"seal {naming['seal']!r:.20} names no actor: it is none of the earlier ones")
    found.naming = naming["seal"]
    first, last = seals[found.naming - 1], seals[-1]
    if any("tally" not in one for one in (first, last)):
        raise ValueError("a seal of before 2026-12 counts no account's coins, and names no actor")
    times = _times(naming["stamp"], proof["witnesses"], first, found, trust, parts)
    if not times:
        found.missing.append(
            f"a third party's word, which you trust, on when seal {found.naming} named the actors"
        )
    elif min(times)[0] > when(first["coins_from"]):
        found.missing.append(
            f"a seal that named the actors before their coins fell: seal {found.naming} is of "
            f"{min(times)[1]}, its coins count from {first['coins_from']}"
        )
    if first["test"] != last["test"]:
        found.missing.append(
            f"the test that seal {found.naming} fixed: seal {last['number']} has another one"
        )
    if first["keys"] != last["keys"]:
        found.missing.append(
            "one key of the coin: another was used since the actors were named, and whose its coins were is "
            "not counted"
        )
    if first["tally"]["untagged"] != last["tally"]["untagged"]:
        found.missing.append(
            "coins that all say whose they are: since the actors were named some bear no tag"
        )


def _records(
    proof: Mapping[str, Any], seal: Mapping[str, Any], found: Examined, parts: ProofFiles
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Open every disclosed pair and throw: its leaf is in the sealed tree, and it matches its leaf."""
    o, heads = parts.openings, {head["ledger"]: head for head in seal["heads"]}
    known: dict[str, dict[str, Any]] = {}
    thrown: dict[str, dict[str, Any]] = {}
    for one in proof["records"]:
        leaf = json.loads(one["leaf"])
        pair = f"{one['ledger']}/{leaf['n']}"
        head = heads.get(one["ledger"])
        if head is None:
            found.wrong.append(f"{pair}: is of a ledger that was not sealed")
            continue
        try:
            led = o.leads_to(one["index"], head["size"], o.leaf_hash(one["leaf"]), one["path"])
        except ValueError as why:
            led = str(why)
        if led != head["root"]:
            found.wrong.append(f"{pair}: is not in the ledger as it was sealed")
            continue
        kinds = ("pair", "throw")
        if (
            leaf["kind"] not in kinds
            or "commit" not in leaf
            or o.commitment(one["opening"]) != leaf["commit"]
        ):
            found.wrong.append(f"{pair}: its opening is not the one that its leaf commits to")
            continue
        within = json.loads(one["opening"])
        if [o.canonical(leaf).decode("ascii"), o.canonical(within).decode("ascii")] != [
            one["leaf"],
            one["opening"],
        ]:
            found.wrong.append(f"{pair}: is written in another than the one way, so that readers may differ")
            continue
        if pair in (thrown if leaf["kind"] == "throw" else known):
            found.wrong.append(f"{pair}: is disclosed twice")
            continue
        if leaf["kind"] == "throw":
            thrown[pair] = {name: within[name] for name in ("account", "campaign", "before")}
            thrown[pair] |= {"index": one["index"], "tag": leaf.get("tag"), "at": when(leaf["at"])}
            thrown[pair]["place"] = (one["ledger"], leaf["n"])
            continue
        texts = [answer["text"] for answer in within["answers"]]
        if not within["served"] == leaf["served"] == o.coin_of(within["secret"]) or len(texts) != 2:
            found.wrong.append(f"{pair}: what was served is not what its coin says")
            continue
        known[pair] = {"account": within["account"], "served": within["served"], "texts": texts}
        known[pair]["index"] = one["index"]
    found.pairs = len(known)
    if odd := {*proof["measured"], *proof["measured_base"]} - known.keys():
        found.wrong.append(f"{sorted(odd)!r:.200} are measured and not disclosed")
    return known, thrown


def _actors(
    proof: Mapping[str, Any],
    seal: Mapping[str, Any],
    records: Mapping[str, Any],
    throws: Mapping[str, Any],
    found: Examined,
    parts: ProofFiles,
) -> None:
    """Check each disclosed actor: sealed, with all its coins; then compute its result."""
    o, left, most = parts.openings, {*records, *throws}, seal["test"]["most"]
    named = seal if found.naming is None else proof["seals"][found.naming - 1]
    spend = found.tests / o.share_of_alpha(found.number)
    for actor in proof["actors"]:
        name = actor["name"]
        if o.actor_commitment(actor) not in named["actors"]:
            found.wrong.append(f"{name}: its accounts and pairs are not those of any sealed actor")
            continue
        if found.naming is not None:
            try:
                coins, tested = _coins_after(proof, actor, left, throws, parts)
            except ValueError as why:
                found.wrong.append(f"{name}: {why}")
                continue
            left -= set(coins)
            for coin in tested:
                _thrown_for(coin, records, throws, found)
            _leans(proof, actor, tested, records, found, spend, parts)
            continue
        coins, accounts = actor["pairs"], set(actor["accounts"])
        absent = [coin for coin in coins if coin not in left]
        if absent or coins != o.in_order(set(coins), found.number):
            found.wrong.append(
                f"{name}: {len(absent)} of its {len(coins)} sealed coins are not disclosed, or counted for "
                "two actors, or their order is another one"
            )
            continue
        whose = [one[coin]["account"] for one in (records, throws) for coin in coins if coin in one]
        if not accounts.issuperset(whose):
            found.wrong.append(f"{name}: has coins of other accounts")
            continue
        left -= set(coins)
        _whole(name, coins, records, throws, found)
        _leans(proof, actor, coins[:most], records, found, spend, parts)
    if found.naming is not None:
        secrets = [secret for actor in proof["actors"] for secret in actor.get("secrets", ())]
        tags = {o.tag_of(secret) for secret in secrets}
        if any(set(proof["naming"][side]) != tags for side in ("earlier", "later")):
            found.wrong.append("coins are counted of other accounts than the disclosed actors'")
    if left:
        found.wrong.append(f"{len(left)} disclosed coins belong to no disclosed actor")


def _leans(
    proof: Mapping[str, Any],
    actor: Mapping[str, Any],
    coins: Sequence[str],
    records: Mapping[str, Any],
    found: Examined,
    spend: float,
    parts: ProofFiles,
) -> None:
    """Compute the result of an actor's tested coins."""
    name = actor["name"]
    tested = [coin for coin in coins if coin not in records or len(set(records[coin]["texts"])) > 1]
    pairs = [coin for coin in tested if coin in records]
    found.unpaired += len(tested) - len(pairs)
    towards = _towards(proof, pairs, records, parts)
    n, hits, p = parts.leans.tail(list(towards.values()), len(tested) - len(towards))
    found.actors[name] = {"n": n, "hits": hits, "p": p, "adjusted": min(1.0, p * spend)}
    _base(proof, actor, pairs, records, found, parts)
    if n < FEWEST:
        found.missing.append(f"{name}: {n} of {len(tested)} sealed coins lean; {FEWEST} are needed")


def _coins_after(
    proof: Mapping[str, Any],
    actor: Mapping[str, Any],
    left: set[str],
    throws: Mapping[str, Any],
    parts: ProofFiles,
) -> tuple[list[str], list[str]]:
    """Return all coins of an actor's accounts between its naming seal and the last; and the tested ones.

    Tested are the first coins from the hour that was sealed with the actor, in the ledgers that were open
    then; where they end was fixed at that time. A ledger that was begun later could have been thrown away,
    and one without its end may be cut: no coin after that counts. Raises: ValueError if one is missing.
    """
    o, naming = parts.openings, proof["naming"]
    first, last = proof["seals"][naming["seal"] - 1], proof["seals"][-1]
    begun = {head["ledger"]: head["size"] for head in first["heads"]}
    if len(actor.get("secrets", ())) != len(actor["accounts"]):
        raise ValueError("its accounts have no secrets, so that nobody sees which coins are theirs")
    tags = {account: o.tag_of(secret) for account, secret in zip(actor["accounts"], actor["secrets"])}
    mine = {coin for coin in left if coin in throws and throws[coin]["account"] in tags}
    for coin in sorted(mine):
        one = throws[coin]
        if one["tag"] != tags[one["account"]] or one["index"] < begun.get(one["place"][0], 0):
            raise ValueError(
                f"{coin} bears another tag than its account's, or fell before the actor was named"
            )
    for account, tag in sorted(tags.items()):
        before, now = (
            o.coins_in_tally(tag, seal["tally"], naming[side][tag])
            for seal, side in ((first, "earlier"), (last, "later"))
        )
        had = sum(throws[coin]["account"] == account for coin in mine)
        if had != now - before:
            raise ValueError(
                f"{had} coins of an account are disclosed; since it was named {now - before} fell"
            )
    since, until = when(first["coins_from"]), _whole_until(proof, parts)
    fresh = [
        coin
        for coin in mine
        if throws[coin]["place"][0] in until and since <= throws[coin]["at"] < min(until.values())
    ]
    fresh.sort(key=lambda coin: (throws[coin]["at"], throws[coin]["place"]))
    test = last["test"]
    return sorted(mine), fresh[: o.end_of(len(fresh), test["most"], test.get("ends", o.ENDS))]


def _whole_until(proof: Mapping[str, Any], parts: ProofFiles) -> dict[str, datetime]:
    """Return the time up to which each ledger that was open when the actors were named is complete.

    A ledger that its run has closed is complete; of any other, lines after the last one may be cut off.
    Raises: ValueError if its last sealed line is not shown.
    """
    o, naming = parts.openings, proof["naming"]
    heads = {head["ledger"]: head for head in proof["seals"][-1]["heads"]}
    shown, found = {one["ledger"]: one for one in naming["last_lines"]}, {}
    opened = o.open_ledgers(proof["seals"][naming["seal"] - 1])
    if sorted(shown) != opened or len(naming["last_lines"]) != len(opened):
        raise ValueError("the last lines are not those of the ledgers that were open when it was named")
    for ledger, one in shown.items():
        line, head = json.loads(one["leaf"]), heads[ledger]
        led = o.leads_to(head["size"] - 1, head["size"], o.leaf_hash(one["leaf"]), one["path"])
        if led != head["root"] or one["index"] != head["size"] - 1 or one["opening"]:
            raise ValueError(f"{ledger}: what is shown is not its last sealed line")
        if o.canonical(line).decode("ascii") != one["leaf"]:
            raise ValueError(f"{ledger}: its last line is written in another than the one way")
        found[ledger] = LATEST if line["kind"] == "close" else when(line["at"])
    return found


def _thrown_for(coin: str, records: Mapping[str, Any], throws: Mapping[str, Any], found: Examined) -> None:
    """Check that a pair belongs to the account for which its coin was thrown, and comes after the throw."""
    one = throws[coin]
    pair = records.get(coin, one)
    if pair["account"] != one["account"] or pair["index"] < one["index"]:
        found.wrong.append(f"{coin}: was thrown for another account than its pair is of, or after it")


def _whole(
    name: str,
    coins: Sequence[str],
    records: Mapping[str, Any],
    throws: Mapping[str, Any],
    found: Examined,
) -> None:
    """Check that none of an actor's coins is left out: each states how many coins its account had before."""
    unknown = sum(coin not in throws for coin in coins)
    if unknown:
        sentences = found.missing if unknown == len(coins) else found.wrong
        sentences.append(
            f"{name}: whose the coins without two answers were: {unknown} of {len(coins)} sealed coins have "
            "no line that was written when they were thrown (no ledger of before 2026-11-29 has)"
        )
        return
    places: dict[tuple[str, str, str | None], list[int]] = {}
    for coin in coins:
        one = throws[coin]
        _thrown_for(coin, records, throws, found)
        places.setdefault((coin.rpartition("/")[0], one["account"], one["campaign"]), []).append(
            one["before"]
        )
    gaps = sum(sorted(had) != list(range(len(had))) for had in places.values())
    if gaps:
        found.wrong.append(
            f"{name}: coins of its accounts are left out of what was sealed ({gaps} gaps: one an account and "
            "ledger at most)"
        )


def _base(
    proof: Mapping[str, Any],
    actor: Mapping[str, Any],
    pairs: Sequence[str],
    records: Mapping[str, Any],
    found: Examined,
    parts: ProofFiles,
) -> None:
    """Check the base, which learned nothing served: if it leans, the answers were ordered by the coin."""
    if proof["base"] == "none":
        return
    values = _values(proof, proof["measured_base"], pairs, records, parts)
    leans = parts.leans.leans(values, None)
    n, hits, p = parts.leans.tail(
        [lean if records[pair]["served"] == 0 else -lean for pair, lean in leans.items()]
    )
    if p < FAIR / len(proof["actors"]):
        found.missing.append(
            f"{actor['name']}: a base that does not itself lean to what was served: it does, in {hits} of "
            f"{n} pairs (p = {p:.2g}). The answers were put in an order that knew the coin, or the base "
            "learned them"
        )


def _towards(
    proof: Mapping[str, Any], pairs: Sequence[str], records: Mapping[str, Any], parts: ProofFiles
) -> dict[str, float]:
    """Return each pair's lean towards what was served, from the measurements of the two answers."""
    mine = _values(proof, proof["measured"], pairs, records, parts)
    base = proof["base"]
    before = None if base == "none" else _values(proof, proof["measured_base"], pairs, records, parts)
    leans = parts.leans.leans(mine, before)
    return {pair: lean if records[pair]["served"] == 0 else -lean for pair, lean in leans.items()}


def _values(
    proof: Mapping[str, Any],
    measured: Mapping[str, Any],
    pairs: Sequence[str],
    records: Mapping[str, Any],
    parts: ProofFiles,
) -> dict[str, Any]:
    """Return the value of each answer of each pair that was measured completely."""
    test, statistic = proof["seals"][-1]["test"], proof["statistic"]
    found = {}
    for pair in pairs:
        value = measured.get(pair)
        if value and statistic == "overlap" and len(value) > test["samples"]:
            raise ValueError(f"{pair}: {len(value)} answers of the suspect, {test['samples']} are sealed")
        if not parts.leans.is_whole(statistic, value, test["samples"]):
            continue
        texts, places = records[pair]["texts"], test.get("places", 0)
        base = None if measured is proof["measured_base"] else proof["measured_base"].get(pair)
        two = parts.leans.valued(statistic, value, texts, test["samples"], places, base)
        if two is not None and all(abs(one) < LARGEST for one in two):
            found[pair] = two
    return found
