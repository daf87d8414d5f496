"""What was shown to others beforehand, held against a ledger; when it was shown, those say who saw it."""

from stillwatch.coin.verify import Head, Verified
from stillwatch.prove import Checked


def published_checks(
    heads: tuple[Head, ...], commitments: frozenset[str], verified: Verified
) -> tuple[Checked, Checked]:
    """Whether what was shown to others beforehand binds this ledger: its key, and its records.

    When it was shown is for those to say who were shown it.
    """
    unknown = [one for one in verified.commitments if one not in commitments]
    if not commitments:
        key = "no commitment was given: that the key is older than the answers is the owner's own word"
    elif unknown:
        key = f"{len(unknown)} of the ledger's keys is in no commitment that was given"
    else:
        key = "every key of the ledger is in the commitments that were given"
    named = {head.ledger for head in heads}
    beyond = [head.ledger for head in verified.heads if head.ledger not in named]
    if not heads:
        told = (
            "no published heads were given: that the ledger is older than the suspect is the owner's own word"
        )
    else:
        told = f"{len(heads)} published heads lie in the ledger"
        told += f"; {len(beyond)} files came after them" if beyond else ""
    return (
        Checked("the coin's key against its commitment", key, bool(commitments) and not unknown),
        Checked("the ledger against published heads", told, bool(heads) and not beyond),
    )
