"""What a read of a log lost without rejecting a line, as sentences for the report."""

from stillwatch.exchanges.documents import UNPAID, unread_text
from stillwatch.exchanges.rejects import Rejects
from stillwatch.report.amounts import plural


def losses(rejects: Rejects, exchanges: int, dead_letters: str = "") -> tuple[str, ...]:
    """Return sentences on missing texts, merged rows and invalid values.

    `exchanges`: how many of the rows that `rejects` counted the scan used; `dead_letters`: the file that
    gives the place of each.
    """
    sentences = []
    if rejects.without_prompt:
        which = "No exchange" if rejects.without_prompt >= rejects.rows else "Not every exchange"
        sentences.append(
            f"{which} has a prompt: {plural(rejects.without_prompt, 'row')} without one, of "
            f"{rejects.rows:,}. They count for volume and timing only; nothing in them can be tied to others."
        )
    sentences += [hint for hint in (rejects.bodies_hint(), rejects.talks_hint()) if hint]
    if rejects.unread_documents:
        sentences.append(
            f"{unread_text(rejects.unread_documents)} What was asked in them is "
            "in no exchange, and nothing in it can be tied to others."
        )
        if UNPAID in rejects.unread_documents:
            sentences[-1] += (
                " Which ones were read depends on the order of the log: more CPU time for them (scan's "
                "--document-cpu) reads more."
            )
    if rejects.without_account:
        sentences.append(
            f"{plural(rejects.without_account, 'row')} of {rejects.rows:,} name no account. What a request "
            "says of its user is its client's word, so all calls of one service count as one account "
            "(service:NAME), and nobody in it can be told apart. If an attribute that you set names the "
            "account: --map account=ATTRIBUTE."
        )
    if rejects.named_by_key:
        sentences.append(
            f"{plural(rejects.named_by_key, 'row')} of {rejects.rows:,} name the account by what looks like "
            "a live API key. The key is kept nowhere: such an account is called key_ and 16 digits of the "
            "key's SHA-256. Log a key's id or hash instead."
        )
    repeated = rejects.rows - exchanges
    if repeated > 0:
        sentences.append(
            f"{plural(repeated, 'row')} repeated an earlier one (the same id, account and time, or equal in "
            "every column), and such rows count once. Unless one file was given twice, the counts here are "
            "too low: give the exchanges ids, or finer times."
        )
    if rejects.conflicts:
        sentences.append(
            f"{plural(rejects.conflicts, 'row')} had the id, account and time of another one and a different "
            "prompt. The longest prompt of each was kept and the others were not judged: they may be cut "
            "copies, or a client that repeats an id of its own choosing. Log the gateway's own id, or finer "
            "times."
        )
    if rejects.mended:
        sentences.append(
            f"{plural(rejects.mended, 'value')} could not be read and were left empty (half a character: "
            "replaced). The exchanges and accounts that they belong to count"
            + (f"; {dead_letters} says where." if dead_letters else ".")
        )
    return tuple(sentences)
