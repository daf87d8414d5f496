"""What a log is too short or incomplete to support, and where it has gaps."""

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.units import DAY_US, HOUR_US

SHORT_DAYS = 3
FEW_ACCOUNTS = 50
GAP_SHARE = 0.02  # of the hour's usual traffic
GAP_LEAST = 30  # exchanges that the hour usually holds


def cannot_claim(
    log: ExchangeLog, known: int | None, untested: tuple[str, ...], anything_spread: bool
) -> tuple[str, ...]:
    """Return sentences for people, the most important first.

    known: how many of the log's accounts have facts in the accounts table; None without a table.
    """
    sentences = []
    days = (log["ts_us"][-1] - log["ts_us"][0]) / DAY_US
    if days < SHORT_DAYS:
        sentences.append(
            f"The log spans {days:.1f} days. Nothing in it can be known to be new: a campaign's "
            f"first hours are seen where at least {SHORT_DAYS} days of log lie before it."
        )
    if len(log.accounts) < FEW_ACCOUNTS:
        sentences.append(
            f"The log has {len(log.accounts)} account{'s' * (len(log.accounts) != 1)}. Groups are judged "
            f"against the population, and this one is too small for that (at least {FEW_ACCOUNTS})."
        )
    if "model" not in log.has or len(log.models) < 2:
        sentences.append(
            "The log names no model, or only one. Whether accounts aim at the same model is the strongest "
            "test of a group; without it most campaigns that hide their identity will not be found."
        )
    elif untested:
        named = ", ".join(name.removesuffix("_milli") for name in untested)
        sentences.append(f"The log holds no variation in: {named}. Groups were tested without it.")
    if known is not None and known < 0.5 * len(log.accounts):
        named = f"only {known:,} of" if known else "none of"
        sentences.append(
            f"The accounts table covers {named} the log's {len(log.accounts):,} accounts: of the others "
            "payment, sign-up, organisation and permissions were not checked. Is its `account` the same "
            "identifier as the log's?"
        )
    if known is None:
        sentences.append(
            "No accounts table was given (--accounts). Payment, sign-up, organisation and permissions were "
            "not checked: a group that acts like one hand stays a lead, and a permitted user may be taken "
            "for a lone harvest."
        )
    if "status" not in log.has:
        sentences.append("The log has no status: every exchange was counted as answered.")
    if "output_tokens" not in log.has:
        sentences.append("The log has no output tokens: the harvest is counted in exchanges only.")
    if not anything_spread:
        sentences.append("No wording spread over accounts within the log: nothing could be grouped.")
    return tuple(sentences)


def gaps(log: ExchangeLog) -> list[tuple[int, int, str]]:
    """Return runs of hours with almost no exchanges where the same hour of other days has many."""
    ts = log["ts_us"]
    first, last = int(ts[0]) // HOUR_US, int(ts[-1]) // HOUR_US
    if last - first < 72:
        return []
    counts = np.diff(np.searchsorted(ts, np.arange(first, last + 2) * HOUR_US))  # rows are in time order
    of_day = (np.arange(len(counts)) + first) % 24
    usual_counts = np.array([np.median(counts[of_day == h]) for h in range(24)])[of_day]
    hole = (usual_counts >= GAP_LEAST) & (counts <= GAP_SHARE * usual_counts)
    spans = []
    bounds = np.flatnonzero(np.diff(hole, prepend=False, append=False))  # limits of each run
    for begin, end in bounds.reshape(-1, 2).tolist():
        missing = usual_counts[begin:end].sum() - counts[begin:end].sum()
        text = f"about {missing:,.0f} exchanges fewer than these hours hold on other days"
        spans.append(((first + begin) * HOUR_US, (first + end) * HOUR_US, text))
    return spans
