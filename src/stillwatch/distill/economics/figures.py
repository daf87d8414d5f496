"""Computes the page's figures from cells and contests: the price of accuracy, with and without a defence.

A value that was not measured is None, and the page shows that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stillwatch.distill.economics import (
    ENOUGH_SEEDS,
    EconomicsArm,
    EconomicsCell,
    EconomicsResult,
    EconomicsTask,
    Experiment,
    cells,
)
from stillwatch.distill.economics.escapes import DEFENCES, Escape, cheapest, fastest, read_escapes
from stillwatch.distill.economics.fit import Estimate, LearningCurve, fit_curve
from stillwatch.distill.rows import read_json

LIMITS = (
    "Where the curve of a small student rises says nothing of a large model's.",
    "Attackers, people and prices of accounts are simulated: contests of the range, on one world.",
    "An example of this task counts as one reasoning trace of the range, of some 7,000 tokens at $15 a "
    "million. The dollars of the picture are that bill. A table has this task's own tokens beside it.",
    "All that the range counts as out is taken for good examples.",
    "Copies of an attack, side by side, are assumed to share nothing that detection sees.",
    "Answers cost an attacker what traces cost: a teacher that hides its reasoning bills it all the same.",
    "Not in the dollars: pre-training of open weights, evaluation, failed trials, people's time.",
    "FLOPs are those of training the student alone.",
    "No curve is read beyond the sizes that were trained. A larger harvest is read at the largest.",
)
LEVELS = (0.25, 0.5, 0.75, 0.9)
HOUR_S, DAY_S = 3600.0, 86400.0


Bounded = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class MeasuredSize:
    """The students of one arm and size: the share right of each seed, and the cost of training one."""

    size: int
    seeds: tuple[int, ...]
    shares: tuple[float, ...]
    flops: float
    train_cpu_s: float
    train_usd: float
    train_days: float


@dataclass(frozen=True)
class ArmFigures:
    """One arm of one task. `curve` is None if fewer than two sizes were trained."""

    task: str
    arm: str
    declared: int  # cells
    run: int
    sizes: tuple[MeasuredSize, ...]
    curve: LearningCurve | None
    teacher_usd_an_example: float | None  # at the plan's prices, the task's own tokens
    same_students_as: str  # an arm that learns the same, if there is one


@dataclass(frozen=True)
class Trade:
    """The price of a number of examples under a defence for an attacker who saves dollars or days."""

    defence: str
    saves: str
    attacker: str
    examples: int
    usd: float
    usd_seeds: tuple[float, ...]  # the same by seed of the contest
    own_usd: float | None  # with this task's own tokens in place of the range's traces
    days: float
    accounts: float
    copies: float  # parallel operations


@dataclass(frozen=True)
class Reading:
    """The yield of one attacker's contests, and the student that it buys."""

    defence: str
    attacker: str
    escaped: tuple[int, ...]
    usd: float
    days: float
    accounts: float
    least: Estimate | None  # of the student on the smallest yield of any seed
    most: Estimate | None
    source: str


@dataclass(frozen=True)
class EconomicsPrice:
    """The price of a share right: examples, and dollars by defence, each with lower and upper bound.

    The bounds are the curve's. None: not reached within what was measured. `or_less`: the smallest measured
    size already reaches it.
    """

    level: float
    examples: Bounded
    usd: dict[str, Bounded]
    or_less: bool = False


@dataclass(frozen=True)
class SpotCheck:
    """A student of an additional seed compared with the curve at its size."""

    size: int
    seed: int
    share: float
    curve: Estimate | None


@dataclass(frozen=True)
class TaskFigures:
    """One task."""

    name: str
    about: str
    toy: bool
    teacher: dict[str, object]
    questions: int
    arms: tuple[ArmFigures, ...]
    trades: tuple[Trade, ...]
    readings: tuple[Reading, ...]
    prices: tuple[EconomicsPrice, ...]
    spots: tuple[SpotCheck, ...]


@dataclass(frozen=True)
class EconomicsFigures:
    """The content of the page; `economics.json` has the same names."""

    name: str
    headline: tuple[str, ...]
    seeds: tuple[int, ...]
    declared: int
    run: int
    not_run: tuple[str, ...]
    tasks: tuple[TaskFigures, ...]
    defences: dict[str, str]
    hours: dict[str, dict[str, object]]
    limits: tuple[str, ...]


def figures(experiment: Experiment, done: dict[EconomicsCell, EconomicsResult]) -> EconomicsFigures:
    """Compute the figures of the finished cells. Raises: InputError for a bad file of contests."""
    escapes = read_escapes(Path(experiment.escapes) if experiment.escapes else None)
    every = cells(experiment)
    tasks = tuple(
        _task(experiment, task.name, done, every, escapes)
        for task in experiment.task
        if any(cell.task == task.name and cell.size for cell in done)
    )
    return EconomicsFigures(
        name=experiment.name,
        headline=_headline(tasks),
        seeds=experiment.seeds,
        declared=len(every),
        run=len(done),
        not_run=_not_run(experiment, every, done),
        tasks=tasks,
        defences=DEFENCES,
        hours={"vCPU": vars(experiment.cpu_hour), "GPU": vars(experiment.gpu_hour)},
        limits=_limits(experiment, tasks, escapes),
    )


def _not_run(
    experiment: Experiment, every: Sequence[EconomicsCell], done: dict[EconomicsCell, EconomicsResult]
) -> tuple[str, ...]:
    sentences = []
    for task in experiment.task:
        cells = [cell for cell in every if cell.task == task.name]
        if missing := [cell for cell in cells if cell not in done]:
            seeds = sorted({cell.seed for cell in missing})
            sentences.append(
                f"{task.name}: {len(missing):,} of {len(cells):,} students, of seeds "
                + ", ".join(map(str, seeds))
            )
    return tuple(sentences)


def _task(
    experiment: Experiment,
    name: str,
    done: dict[EconomicsCell, EconomicsResult],
    every: Sequence[EconomicsCell],
    escapes: Sequence[Escape],
) -> TaskFigures:
    task = next(t for t in experiment.task if t.name == name)
    run = experiment.data(task)
    teacher = read_json(run.teacher) if run.teacher.exists() else {}
    spent = read_json(run.spent) if run.spent.exists() else {}
    usd = None if spent.get("usd") is None else float(spent["usd"]) / max(1, int(spent["answers"]))
    results = {c: r for c, r in done.items() if c.task == name}
    arms = [_arm(experiment, task, arm, results, every, usd) for arm in task.arm]
    traces = next((arm for arm in arms if arm.arm == "traces" and arm.curve), None)
    curve = traces.curve if traces else None
    best = [escape for defence in DEFENCES if (escape := cheapest(escapes, defence))]
    return TaskFigures(
        name=name,
        about=task.about,
        toy=task.toy,
        teacher={key: teacher.get(key) for key in ("model", "licence", "base_url")},
        questions=task.questions,
        arms=tuple(arms),
        trades=tuple(_trades(escapes, usd)),
        readings=tuple(_reading(escape, curve) for escape in escapes),
        prices=tuple(
            _price(level, best, curve, traces.sizes[-1].train_usd) for level in LEVELS if traces and curve
        ),
        spots=tuple(
            SpotCheck(c.size, c.seed, r.share, curve.at(c.size) if curve else None)
            for c, r in results.items()
            if c.spot
        ),
    )


def _arm(
    experiment: Experiment,
    task: EconomicsTask,
    arm: EconomicsArm,
    results: dict[EconomicsCell, EconomicsResult],
    every: Sequence[EconomicsCell],
    usd: float | None,
) -> ArmFigures:
    def of(name: str) -> list[EconomicsResult]:
        return [r for c, r in results.items() if c.arm == name and c.size and not c.spot]

    of_arm = of(arm.name)
    students: dict[str, str] = {arm.name: arm.train.student for arm in task.arm}
    untrained = [r for c, r in results.items() if not c.size and students[c.arm] == arm.train.student]
    # an unfinished seed would count as a whole one in the interval
    complete = {r.seed for r in of_arm if {o.size for o in of_arm if o.seed == r.seed} == set(task.sizes)}
    fitted = [r for r in of_arm if r.seed in complete] or of_arm
    earlier = [a.name for a in task.arm[: task.arm.index(arm)]]
    learnt = {r.fingerprint for r in of_arm}
    return ArmFigures(
        task=task.name,
        arm=arm.name,
        declared=sum(c.task == task.name and c.arm == arm.name and c.size > 0 and not c.spot for c in every),
        run=len(of_arm),
        sizes=tuple(
            _size(experiment, n, [r for r in of_arm if r.size == n]) for n in sorted({r.size for r in of_arm})
        ),
        curve=fit_curve(fitted, untrained[0].share if untrained else 0.0) if of_arm else None,
        teacher_usd_an_example=0.0 if arm.name == "public" else usd,
        same_students_as=next(
            (name for name in earlier if of_arm and learnt == {r.fingerprint for r in of(name)}), ""
        ),
    )


def _size(experiment: Experiment, n: int, results: Sequence[EconomicsResult]) -> MeasuredSize:
    results = sorted(results, key=lambda result: result.seed)
    cpu_s = fmean(result.train_cpu_s for result in results)
    wall_s = fmean(result.train_wall_s for result in results)
    on_cpu = all(result.device == "cpu" for result in results)
    seconds, hour = (cpu_s, experiment.cpu_hour) if on_cpu else (wall_s, experiment.gpu_hour)
    return MeasuredSize(
        size=n,
        seeds=tuple(result.seed for result in results),
        shares=tuple(result.share for result in results),
        flops=fmean(result.flops for result in results),
        train_cpu_s=cpu_s,
        train_usd=seconds / HOUR_S * hour.usd,
        train_days=seconds / DAY_S,
    )


def _trades(escapes: Sequence[Escape], usd: float | None) -> Iterable[Trade]:
    lightest = min((escape.tokens_an_example for escape in escapes if escape.defence == "none"), default=0.0)
    for defence in DEFENCES:
        for saves, escape in (("dollars", cheapest(escapes, defence)), ("days", fastest(escapes, defence))):
            if escape is None:
                continue
            own_usd = None
            # an attack that pays for unusable tokens pays for them here too
            if usd is not None and lightest:
                own_usd = escape.goal * (
                    escape.accounts_usd_an_example + usd * escape.tokens_an_example / lightest
                )
            yield Trade(
                defence=defence,
                saves=saves,
                attacker=escape.attacker,
                examples=escape.goal,
                usd=escape.goal * escape.usd_an_example,
                usd_seeds=tuple(
                    escape.goal * u / max(o, 1) for u, o in zip(escape.usd, escape.out, strict=True)
                ),
                own_usd=own_usd,
                days=fmean(escape.days),
                accounts=escape.accounts_for(escape.goal),
                copies=max(1.0, escape.goal / fmean(escape.out)),
            )


def _reading(escape: Escape, curve: LearningCurve | None) -> Reading:
    return Reading(
        defence=escape.defence,
        attacker=escape.attacker,
        escaped=escape.out,
        usd=fmean(escape.usd),
        days=fmean(escape.days),
        accounts=fmean(escape.accounts),
        least=curve.at(min(escape.out)) if curve else None,
        most=curve.at(max(escape.out)) if curve else None,
        source=escape.source,
    )


def _price(level: float, best: Sequence[Escape], curve: LearningCurve, train_usd: float) -> EconomicsPrice:
    sizes = curve.size_for(level)

    def usd(escape: Escape) -> Bounded:
        n, low, high = (None if size is None else size * escape.usd_an_example + train_usd for size in sizes)
        return n, low, high

    return EconomicsPrice(
        level, sizes, {escape.defence: usd(escape) for escape in best}, sizes[0] == curve.sizes[0]
    )


def _headline(tasks: Sequence[TaskFigures]) -> tuple[str, ...]:
    """Write the page's first sentences, about the attacker who does best."""
    if not tasks:
        return ("No student was trained yet.",)
    cheap = {trade.defence: trade for trade in tasks[0].trades if trade.saves == "dollars"}
    quick = {trade.defence: trade for trade in tasks[0].trades if trade.saves == "days"}
    lead = []
    if free := cheap.get("none"):
        sentences = [
            f"{name}: {cheap[defence].usd / free.usd:.1f} times the dollars in {days(cheap[defence].days)}"
            + (f", or ${quick[defence].usd:,.0f} in {days(quick[defence].days)}" if defence in quick else "")
            for defence, name in DEFENCES.items()
            if defence in cheap and defence != "none"
        ]
        opening = "No defence keeps" if set(cheap) == set(DEFENCES) else "No defence that was fought keeps"
        lead.append(
            f"{opening} {free.examples:,} examples from the attacker that is best off. Undefended they cost "
            f"${free.usd:,.0f} in {days(free.days)}. "
            f"{'. '.join(sentence[0].upper() + sentence[1:] for sentence in sentences)}."
        )
    for task in tasks:
        best = [
            f"{percent(arm.curve.at(arm.curve.sizes[-1]))} {ARM_WORDS[arm.arm]}"
            for arm in task.arms
            if arm.curve
        ]
        if best:
            n = max(arm.sizes[-1].size for arm in task.arms if arm.sizes)
            toy = ", a toy," if task.toy else ""
            lead.append(f"{task.name}{toy} on {n:,} examples: {', '.join(best)}.")
    return tuple(lead)


ARM_WORDS = {"public": "on public answers", "answers": "on answers only", "traces": "on traces"}


def percent(of: Estimate | None) -> str:
    """
    >>> percent(Estimate(0.5, 0.4, 0.61)), percent(None)
    ('50 % (40 to 61)', '-')
    """
    if of is None:
        return "-"
    bounds = (
        " (one seed)"
        if of.low is None or of.high is None
        else f" ({100 * of.low:.0f} to {100 * of.high:.0f})"
    )
    return f"{100 * of.share:.0f} %{bounds}"


def days(value: float) -> str:
    """
    >>> days(14), days(0.25), days(0.00001)
    ('14 days', '6 hours', 'minutes')
    """
    if value >= 2:
        return f"{value:.0f} days"
    return f"{24 * value:.0f} hours" if value * 24 >= 1 else "minutes"


def _limits(
    experiment: Experiment, tasks: Sequence[TaskFigures], escapes: Sequence[Escape]
) -> tuple[str, ...]:
    seeds = [len(size.seeds) for task in tasks for arm in task.arms for size in arm.sizes]
    seeds_are_few = (
        f"Some sizes have {min(seeds)} of {len(experiment.seeds)} declared seeds. Their bounds are wide, and "
        "five seeds may move them."
    )
    fought = [[escape for escape in escapes if escape.defence == defence] for defence in DEFENCES]
    contests = "Contests that were fought: " + "; ".join(
        f"{name}, {len(some)} attackers on {min(len(result.seeds) for result in some)} seeds"
        if some
        else f"{name}, none"
        for name, some in zip(DEFENCES.values(), fought, strict=True)
    )
    more = "An attacker that was not fought may be better off."
    return (
        ((seeds_are_few,) if seeds and min(seeds) < ENOUGH_SEEDS else ()) + (f"{contests}. {more}",) + LIMITS
    )
