"""Compares an intact trail with what its witnesses saw, without reading the trail again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stillwatch.cases.audit import Broken, Cause, VerifiedTrail
from stillwatch.cases.audit.chain import signed_of_head
from stillwatch.cases.audit.signing import is_signed
from stillwatch.cases.audit.witness import WitnessedHead, is_vouched


def check_witnesses(
    verified: VerifiedTrail,
    witness: Sequence[WitnessedHead | str],
    seals: Mapping[int, str],
    keys: tuple[str, ...],
) -> VerifiedTrail | Broken:
    """Compare. seals: the trail's own, at what the witness knows; keys: of partners who must have signed.

    Lines that are not heads become notes: a full disk leaves some. The first head that contradicts the trail
    decides.
    """
    notes = _unread([line for line in witness if isinstance(line, str)])
    heads = sorted(
        (line for line in witness if isinstance(line, WitnessedHead)), key=lambda line: line.head.seq
    )
    good = 0
    for line in heads:
        head = line.head
        if keys and not (line.witness in keys and is_vouched(line)):
            notes.append(f"{line.place}: no partner whose key was named signed it; it does not count")
            continue
        if not is_signed(head.key, head.signature, signed_of_head(head)):
            return Broken(
                head.seq,
                Cause.WITNESS,
                f"{line.place}: is not signed by the key that it names: the witness was changed",
            )
        if head.chain != verified.chain:
            notes.append(f"{line.place}: is of another trail, {head.chain[:16]!a}")
            continue
        if head.seq > verified.records:
            first = verified.records + 1
            why = f"{line.place} saw record {head.seq}, the trail ends with {verified.records}"
            return Broken(first, Cause.CUT_TAIL, f"{why}: the end was cut off", head.seq)
        if seals.get(head.seq) != head.seal:
            stretch = (
                f"record {head.seq}"
                if good + 1 == head.seq
                else f"one of the records {good + 1} to {head.seq}"
            )
            why = f"{line.place} saw another record {head.seq}: {stretch} was written anew"
            if not any(span.key == head.key for span in verified.keys):
                why += f"; what it saw was signed with key {head.key[:16]}…, which signs nothing here"
            return Broken(good + 1, Cause.REWRITTEN, why, head.seq)
        good = max(good, head.seq)
    if heads and not any(line.head.chain == verified.chain for line in heads):
        other = heads[0].head.chain[:16]
        why = f"the witness knows trail {other!a}, not {verified.chain[:16]}: this one was put in its place"
        return Broken(1, Cause.REWRITTEN, why)
    if not good:
        why = "; ".join(
            ("the witness vouches for no record of this trail: it was emptied, or is another's", *notes)
        )
        return Broken(1, Cause.WITNESS, why)
    if good < verified.records:
        notes.append(f"records {good + 1} to {verified.records} are younger than what the witness saw")
    return replace(verified, witnessed=good, notes=(*verified.notes, *notes))


def _unread(lines: list[str]) -> list[str]:
    """Return sentences about lines that are not heads; of many only how many."""
    if len(lines) <= 3:
        return lines
    return [*lines[:2], f"{len(lines) - 2:,} more lines of the witness are no checkpoints"]
