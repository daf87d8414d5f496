"""What a live scan cannot see if memory, lateness or a gap cuts its window."""

from datetime import datetime
from typing import TYPE_CHECKING

from stillwatch.scan import SeenWindow

if TYPE_CHECKING:  # writing a report needs none of the detection
    from stillwatch.scan.settings import DetectionSettings

BACKWARDS = 2  # windows: one that links accounts, and an earlier one that shows what was in use already


def needed_days(settings: "DetectionSettings") -> float:
    """Return how many days of exchanges the rules need in memory.

    >>> from stillwatch.scan.settings import DetectionSettings
    >>> needed_days(DetectionSettings())
    10.0
    """
    return BACKWARDS * settings.window_days


def window_headline(window: SeenWindow | None) -> str:
    """State in one sentence that not everything could be seen; empty if it could."""
    if window is None or window.whole:
        return ""
    if window.short:
        return (
            f"Memory reaches back {window.kept_days:.1f} of the {window.needed_days:g} days that are needed: "
            "slower and earlier campaigns cannot be found, or are half named."
        )
    return "Not all exchanges could be evaluated in time: campaigns may be missing, or half named."


def window_sentences(window: SeenWindow | None) -> tuple[str, ...]:
    """Return what cannot be seen, the most important first."""
    if window is None:
        return ()
    sentences = [_memory(window)] if window.short else []
    if window.unevaluated:
        spans = [f"{_time(start)} to {_time(end)}" for start, end in window.unevaluated[-3:]]
        more = len(window.unevaluated) - len(spans)
        sentences.append(
            f"{', '.join(spans)} UTC{f' and {more} spans before' if more else ''} were let go before they "
            "were evaluated: memory was full while the detector was behind, or by a flood. Campaigns of then "
            "are not found."
        )
    if window.dropped:
        sentences.append(
            f"{window.dropped:,} exchanges came older than memory reached, and were used for nothing. "
            "Campaigns that they belong to are not found, or are half named."
        )
    if window.late:
        sentences.append(
            f"{window.late:,} exchanges came too late for their hours to be evaluated again. Campaigns that "
            "they belong to are found later, or are half named."
        )
    if window.uncaptured:
        sentences.append(
            f"{window.uncaptured:,} exchanges were not captured. Campaigns that they belong to may be "
            "missing, or half named."
        )
    if window.unread_segments:
        sentences.append(
            f"{window.unread_segments:,} segments could not be read (detector/bad-segments.jsonl). Campaigns "
            "in them may be missing, or half named."
        )
    return tuple(sentences)


def _memory(window: SeenWindow) -> str:
    """Describe the cost of the days that are no longer in memory."""
    assert window.kept_days is not None
    assert window.since is not None
    begin = (
        f"Memory reaches back {window.kept_days:.1f} days, to {_time(window.since)} UTC, and "
        f"{window.needed_days:g} are needed."
    )
    new = "Wording that was in use before then looks new, so that honest groups may be named."
    if window.kept_days >= window.linked_days:
        return f"{begin} {new} Accounts that joined a campaign before then may be missing."
    return (
        f"{begin} Campaigns whose accounts take up their wording over more than {window.kept_days:.1f} "
        "days, or that began before then, cannot be found or are half named (accounts are linked over "
        f"{window.linked_days:g} days where memory holds them). {new}"
    )


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
