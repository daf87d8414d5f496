"""The alert: all that a person needs to judge a case, or a partner who has nothing but this file.

It finds nothing and decides nothing. `as_json` is what the command line, the console and the exports show.
"""

from dataclasses import asdict, dataclass
from typing import Any

FORMAT = "stillwatch.alert/1"


@dataclass(frozen=True)
class Claim:
    """One detector's or clue's statement, with what it takes to check it."""

    signal: str  # in words
    detector: str
    text: str
    actual: float | None
    baseline: float | None  # the population's median, or what was to be expected
    peer_p95: float | None
    effect: float | None  # actual over baseline; None where there is no baseline, or it is 0
    bits: float  # log2 of how much more likely this is of one actor than of strangers
    p_value: float  # how often this comes up when nothing is wrong, under the detector's own null
    n: int | None  # exchanges, accounts or markers that it rests on
    null: str
    query: str  # recomputes it
    input_sha256: str  # of what it was computed from: the files, the accounts, the window


@dataclass(frozen=True)
class Benign:
    """What would make it honest, and what came of checking that."""

    kind: str
    check: str
    checked: bool


@dataclass(frozen=True)
class LinkRow:
    """One reason that ties an account to the actor."""

    a: str
    b: str
    clue: str
    bits: float
    text: str
    control: str  # "client" or "provider": who chooses the attribute
    independence: str  # clues of one class may have one cause


@dataclass(frozen=True)
class SharedRow:
    """One clue over all accounts that share it."""

    clue: str
    text: str
    control: str
    independence: str
    accounts: int
    links: int
    bits: float  # median of its links
    total_bits: float


@dataclass(frozen=True)
class Exposure:
    """What has left, over all findings of the case."""

    exchanges: int
    output_tokens: int
    value_tokens: float  # of the latest finding: weighed by what is new in an answer
    unique_prompts: int | None  # of the latest finding
    exchanges_at_alarm: int
    output_tokens_at_alarm: int
    first_us: int | None
    last_us: int | None
    capabilities: tuple[str, ...]  # what was asked for, in words
    milestones: str  # beside the sizes of published training sets
    next_milestone: str | None
    cost_to_us_usd: float | None  # None: no price was given
    cost_to_them_usd: float | None
    victims_exchanges: int  # of accounts judged to be victims, all that they sent in the scanned log
    cleared_exchanges: int  # of accounts that were cleared


@dataclass(frozen=True)
class Confidence:
    """How often such alarms were right, and on what set that was measured."""

    sentence: str
    measured_on: str
    right: int | None  # of `judged` alarms
    judged: int | None
    low: float | None  # 95 % interval of the share that was right
    high: float | None
    calibration: str  # where the calibration of the p-value is shown


@dataclass(frozen=True)
class Source:
    """A detector or clue that spoke: which one exactly, and how it is evaded."""

    id: str
    version: str
    config_sha256: str  # of its source text and the settings
    raised: bool  # its alarm is the finding
    state: str  # shadow, alert or act
    evades_by: str
    fooled_by: str


@dataclass(frozen=True)
class Action:
    """What to do next. Nothing is done by this."""

    step: str  # of the terms' ladder, or "none"
    text: str
    accounts: int  # dry run: whom it would touch
    left_out: dict[str, int]  # why accounts of the case would not be touched -> how many
    collateral: int  # accounts outside the actor that it would touch
    collateral_note: str
    command: str


@dataclass(frozen=True)
class Alert:
    """One case's alert. Times are UTC microseconds."""

    case: str
    revision: int
    title: str  # one sentence with numbers
    state: str
    verdict: str | None
    owner: str | None
    campaign: str
    finding: int
    found_us: int
    alarm_us: int
    p_value: float
    score_bits: float
    members: int
    victims: int
    cleared: int
    accounts: tuple[str, ...]  # the actor's, the first thousand in order of name
    accounts_sha256: str  # of all of them, one a line
    why: tuple[Claim, ...]  # most bits first
    benign: tuple[Benign, ...]
    links: tuple[LinkRow, ...]  # the strongest
    links_total: int
    shared: tuple[SharedRow, ...]  # all links, folded
    independent_classes: tuple[str, ...]
    seen_by_provider: tuple[str, ...]  # those of the classes that the client does not choose
    exposure: Exposure
    confidence: Confidence
    detectors: tuple[Source, ...]
    gaps: tuple[dict[str, str], ...]  # in the window: start, end, text
    cannot_claim: tuple[str, ...]
    atlas: tuple[dict[str, str], ...]  # id, name, why
    action: Action
    inputs: tuple[dict[str, Any], ...]  # files scanned: name, sha256, bytes
    scanned: dict[str, Any]
    source: str
    stillwatch: str
    permalink: str
    json_twin: str
    bundle_sha256: str | None  # of the last evidence bundle made of this case

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return {"format": FORMAT} | asdict(self)
