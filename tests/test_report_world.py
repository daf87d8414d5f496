"""An invented scan result, as large and as hostile as a real one may be; every other report test uses it."""

import random
from datetime import UTC, datetime, timedelta
from functools import cache

from stillwatch.scan import (
    AccountVerdict,
    BenignAlternative,
    Campaign,
    Gap,
    Harvest,
    Hour,
    Lead,
    Link,
    Reason,
    ScanResult,
    ScanTotals,
    SettingTest,
)

TESTED = (
    SettingTest("model", "\ud800", 9, 12, 0.25, 3, 0.03),
    SettingTest("max_tokens", None, 5, 12, 0.5, 7, 0.08),
)
START = datetime(2026, 3, 1, tzinfo=UTC)
BANG = "window.stolen=(window.stolen||0)+1"
HOSTILE = (
    f"<script>{BANG}</script>",
    f'"><img src=x onerror="{BANG}">',
    f"</script></style></title><svg onload={BANG}>",
    f"javascript:{BANG}//",
    f"' onmouseover='{BANG}",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<base href=https://evil.example/>-->",
    "pay\u202egnp.exe",
    "esc\x1b[2J\x1b]0;owned\x07",
    "two\nlines\r\n| a | b |",
    "zero\u200bwidth\ufeff",
    "[bold red]rich[/] :skull: [link=https://evil.example]x[/link]",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f",
    "back\\slash",
    "\ud800lone",
    "long-" + "a" * 400,
    "\u05d7\u05e9\u05d1\u05d5\u05df-7",
    "",
)


def hours(first_hour: int, many: int, total: int, seed: int, bursts: bool = False) -> tuple[Hour, ...]:
    rng = random.Random(seed)
    weights = []
    for h in range(many):
        day = 0.35 + 0.65 * (8 <= (first_hour + h) % 24 <= 20)
        weights.append(day * rng.uniform(0.5, 1.5) * ((6 if rng.random() < 0.06 else 0.3) if bursts else 1))
    scale = total / sum(weights)
    made = [int(w * scale) for w in weights]
    made[-1] += total - sum(made)
    return tuple(Hour(START + timedelta(hours=first_hour + h), n, n * 640) for h, n in enumerate(made) if n)


def campaign(
    name: str,
    accounts: tuple[str, ...],
    line: tuple[Hour, ...],
    alarm_hour: int,
    p: float,
    clues: tuple[tuple[str, float, float, str, str], ...],
    reasons: tuple[Reason, ...],
    seed: int,
    title: str,
    milestone: str | None = None,
    suppressed_by: str | None = None,
) -> Campaign:
    """Return a campaign. `clues` are (name, share of accounts, bits, sentence, who controls it)."""
    rng = random.Random(seed)
    alarm = START + timedelta(hours=alarm_hour)
    links = tuple(
        Link(a, name, clue, round(bits * rng.uniform(0.8, 1.2), 2), text, control)
        for a in accounts
        for clue, share, bits, text, control in clues
        if rng.random() < share
    )
    last = int((line[-1].start - alarm).total_seconds() // 3600)
    named = {a: alarm + timedelta(hours=rng.choice([0, 0, rng.randint(0, max(1, last))])) for a in accounts}
    total = Harvest(sum(h.exchanges for h in line), sum(h.output_tokens for h in line))
    before = [h for h in line if h.start < alarm]
    at_alarm = Harvest(sum(h.exchanges for h in before), sum(h.output_tokens for h in before))
    return Campaign(
        id=name,
        alarm_at=alarm,
        p_value=p,
        score_bits=round(sum(r.bits for r in reasons), 2),
        accounts=accounts,
        harvest=total,
        harvest_at_alarm=at_alarm,
        reasons=reasons,
        benign_alternatives=(
            BenignAlternative(
                "public template",
                "If the shared skeleton were a published template: it is in none of 214 known ones, and "
                "no organisation outside the campaign sent it.",
            ),
            BenignAlternative(
                "one company",
                "If the accounts were one customer: they state 11 organisations in 6 countries and "
                "share no mail domain.",
            ),
        ),
        suppressed_by=suppressed_by,
        title=title,
        named_at=named,
        links=tuple(sorted(links, key=lambda k: (-k.bits, k.clue, k.a))),
        timeline=line,
        tested=TESTED,
        next_milestone=milestone,
    )


RARE = Reason(
    "rare_skeleton",
    "412 exchanges from 398 accounts repeat one skeleton that nobody else has ever sent.",
    31.4,
    0.62,
    0.0004,
    0.011,
    412,
)
GRADE = Reason(
    "rubric_grading", "38 % of the traffic asks the model to grade answers.", 9.2, 0.38, 0.01, 0.09, 9120
)
LOAD = Reason("complementary_load", "The hourly loads fill each other's gaps.", 6.8, -0.41, 0.02, 0.31, 336)


@cache
def result(many: int = 25_000) -> ScanResult:
    """Make three campaigns (one of `many` accounts, one hostile), one suppressed, 2,600 honest accounts."""
    rng = random.Random(5)
    big = campaign(
        "c-7f3a19",
        tuple(f"acct_{i:06x}" for i in range(0x40000, 0x40000 + many)),
        hours(40, 296, 214_000, 1),
        46,
        3.1e-9,
        (
            (
                "rare_skeleton",
                0.93,
                11.2,
                "Sent skeleton 9c41e2, seen nowhere outside this campaign.",
                "client",
            ),
            ("signup_burst", 0.61, 6.3, "Signed up within 40 minutes of 311 others on 12 Feb.", "provider"),
            ("network", 0.34, 4.1, "Came from AS 64512, used by 0.2 % of other accounts.", "provider"),
            ("payment", 0.07, 13.9, "Paid with an instrument that 18 accounts share.", "provider"),
            (
                "partition",
                0.22,
                5.5,
                "Its questions and the others' never overlap: one list, dealt out.",
                "client",
            ),
        ),
        (RARE, GRADE, LOAD),
        11,
        f"{many:,} accounts drew 214,000 answers to one dealt-out list of questions, 8.6 from each.",
        "800,000 exchanges (R1 students) at this pace on 2026-04-22",
    )
    middle = campaign(
        "c-b20d55",
        tuple(f"org{i % 4}-key-{i:02d}" for i in range(23)),
        hours(170, 150, 13_320, 2, bursts=True),
        176,
        4.4e-6,
        (
            ("payment", 0.8, 14.2, "Paid with instrument 5d10, shared by 9 accounts.", "provider"),
            (
                "repeated_rare_question",
                0.9,
                8.8,
                "Asked 41 rare questions that others here asked too.",
                "client",
            ),
            ("pivot", 0.5, 5.0, "Turned to model large-3 in the same hour as 17 others.", "provider"),
        ),
        (
            Reason(
                "trace_elicitation",
                "71 % of exchanges ask for the full reasoning.",
                14.0,
                0.71,
                0.02,
                0.2,
                9457,
            ),
            LOAD,
        ),
        12,
        "23 accounts on 4 cards asked for 13,320 reasoning traces after turning to large-3 together.",
        "17,000 exchanges (Sky-T1) at this pace on 2026-03-18",
    )
    hostile = campaign(
        "c-evil" + HOSTILE[0],
        HOSTILE,
        hours(200, 90, 612, 3),
        214,
        8.0e-5,
        ((HOSTILE[1], 1.0, 9.0, HOSTILE[2], HOSTILE[4]), ("network", 0.5, 3.3, HOSTILE[8], "provider")),
        (Reason(HOSTILE[1], HOSTILE[0] + HOSTILE[8], 12.0, 0.4, float("nan"), None, None),),
        13,
        "18 accounts: " + HOSTILE[0] + HOSTILE[7],
    )
    permitted = campaign(
        "c-0a88e1",
        tuple(f"acme-synth-{i}" for i in range(6)),
        hours(100, 200, 41_000, 4),
        130,
        1.2e-7,
        (("network", 1.0, 5.0, "Came from AS 64999.", "provider"),),
        (GRADE,),
        14,
        "6 accounts of one organisation make graded synthetic data.",
        suppressed_by="permission synthetic_data on all 6 accounts",
    )
    campaigns = (middle, hostile, big, permitted)
    verdicts = [
        AccountVerdict(a, c.p_value, c.id, None, max(1, c.harvest.exchanges // len(c.accounts)), "")
        for c in campaigns
        for a in c.accounts
    ]
    kinds = ("chat", "application", "agent", "rag", "classroom", "batch", "evaluation harness", None)
    for i in range(2600):
        kind = rng.choices(kinds, (40, 20, 10, 10, 6, 6, 3, 5))[0]
        verdicts.append(
            AccountVerdict(
                f"cust-{i:04d}",
                None if kind is None else round(rng.uniform(0.0004, 1), 4),
                None,
                kind,
                int(rng.paretovariate(0.9) * 6),
                f"{rng.randint(40, 99)} % of exchanges fit {kind}; {rng.randint(2, 900)} end users seen"
                if kind
                else "",
            )
        )
    rng.shuffle(verdicts)
    return ScanResult(
        version="0.1.0",
        scanned=ScanTotals(
            exchanges=1_482_113 if many > 5000 else 120_030,
            accounts=len(verdicts),
            first=START,
            last=START + timedelta(days=14, seconds=-7),
            rejected=37,
            seconds=12.3456,
        ),
        campaigns=campaigns,
        accounts=tuple(verdicts),
        rejected_examples=(
            "logs/a.jsonl:812: not JSON (cut off after 4,096 bytes)",
            "logs/b.jsonl:9: time has no zone: 2026-03-04 11:02:07 " + HOSTILE[0],
            "logs/b.jsonl:77: account is empty" + HOSTILE[8],
        ),
        gaps=(
            Gap(
                START + timedelta(days=3, hours=2),
                START + timedelta(days=3, hours=6),
                "412 exchanges where the rhythm of other days promises 4,900.",
            ),
        ),
        cannot_claim=(
            "The log has no client addresses: two accounts on one network look like strangers.",
            "7 days of history before the first campaign: p-values below 1e-9 rest on the fitted tail.",
        ),
    )


def leads(many: int) -> tuple[Lead, ...]:
    """Return leads with four accounts each, in order of time; later ones have more exchanges."""
    hands = ("many", "one", "open")
    return tuple(
        Lead(
            f"lead-{k:04d}",
            START + timedelta(days=3, hours=k),
            2e-5,
            (*(f"cust-{4 * k + i:04d}" for i in range(3)), HOSTILE[k % 3] + str(k)),
            40 + k,
            hands[k % 3],
            "40 of 44 accounts run notequiz"
            + HOSTILE[0]
            + HOSTILE[8]
            + ", whose defaults explain equal settings",
        )
        for k in range(many)
    )


@cache
def empty() -> ScanResult:
    return ScanResult("0.1.0", ScanTotals(0, 0, None, None, 0, 0.0), (), ())


def test_the_made_up_world_holds_what_the_other_tests_rely_on() -> None:
    made = result()
    assert max(len(c.accounts) for c in made.campaigns) == 25_000
    assert sum(c.suppressed_by is not None for c in made.campaigns) == 1
    assert set(HOSTILE) <= {a.account for a in made.accounts}
