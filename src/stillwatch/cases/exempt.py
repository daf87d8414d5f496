"""Whom no machine may touch, by what people have said in cases. It knows no steps and takes none."""

from sqlalchemy import or_, select

from stillwatch.cases import Verdict
from stillwatch.cases.store import Store
from stillwatch.cases.tables import cases, members

NOT_THE_ACTOR = (Verdict.VICTIM, Verdict.FALSE, Verdict.PERMITTED)
DISMISSED = (Verdict.FALSE, Verdict.PERMITTED)


def spared_accounts(store: Store, now_us: int) -> frozenset[str]:
    """Give the accounts that were judged not to be the thief, and those of dismissed and suppressed cases.

    A dismissed case that comes back larger is judged anew: until then its new size spares nobody.
    """
    m, c = members.c, cases.c
    own = select(m.account).where(m.verdict.in_([str(v) for v in NOT_THE_ACTOR]))
    quiet = or_(c.verdict.in_([str(v) for v in DISMISSED]), c.suppressed_until_us > now_us)
    whole = select(m.account).join(cases, c.id == m.case_id).where(m.home.is_not(None), quiet)
    with store.reading() as db:
        return frozenset(db.execute(own).scalars()) | frozenset(db.execute(whole).scalars())
