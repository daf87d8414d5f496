"""Every detector finds what it is for and no look-alike; and the lone harvest, step by step.

A new detector without cases of both kinds fails here.
"""

import copy
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scan_world import MODELS, Crowd, begun, log_of, sentence
from stillwatch.detectors import MOST_BITS, Detector, Population, lone_harvest
from stillwatch.detectors.lone_harvest import LEAST_BITS, STEPS, TRAITS, Sighting, sightings
from stillwatch.features.compute import SCHEMA
from stillwatch.scan.assemble import detectors

DETECTORS = {detector.NAME: detector for detector in detectors()}
Subject = dict[str, float | int | None]
ORDINARY: Subject = {
    "exchanges": 30,
    "log2_output_mean": 7.0,
    "follow_up_share": 0.3,
    "refusal_share": 0.01,
    "logprob_share": 0.0,
    "rubric_grading_share": 0.02,
    "task_generation_share": 0.02,
    "trace_elicitation_share": 0.03,
    "distinct_prompt_share": 0.9,
}


def subject(**features: float | int | None) -> Subject:
    return dict.fromkeys(SCHEMA.names) | ORDINARY | features


def population(many: int = 200, seed: int = 3, **fixed: Any) -> pa.Table:
    """Accounts near the average; `fixed` columns hold one value, or one value per account."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(many):
        scattered: Subject = {
            "account": k,
            "exchanges": int(rng.lognormal(3.4, 0.6)) + 5,
            "log2_output_mean": float(rng.normal(7.0, 1.0)),
            "follow_up_share": float(rng.beta(2, 4)),
            "refusal_share": float(rng.beta(1, 90)),
            "logprob_share": 0.0,
            "rubric_grading_share": float(rng.beta(1, 40)),
            "task_generation_share": float(rng.beta(1, 40)),
            "trace_elicitation_share": float(rng.beta(1, 30)),
            "distinct_prompt_share": float(rng.beta(9, 1)),
        }
        given = {name: v[k] if isinstance(v, list) else v for name, v in fixed.items()}
        rows.append(dict.fromkeys(SCHEMA.names) | scattered | given)
    return pa.Table.from_pylist(rows, SCHEMA)


HALF = [0.9 * (k % 2) for k in range(200)]  # every second account

SEEN: dict[str, Subject] = {
    "logprob_harvest": {"logprob_share": 0.9},
    "long_outputs": {"log2_output_mean": 12.0},
    "no_dialogue": {"follow_up_share": 0.0, "exchanges": 900},
    "reconnaissance": {"refusal_share": 0.6},
    "rubric_grading": {"rubric_grading_share": 0.95},
    "task_generation": {"task_generation_share": 0.8},
    "trace_elicitation": {"trace_elicitation_share": 0.9},
    "volume_and_coverage": {"exchanges": 9000, "distinct_prompt_share": 1.0},
}
# look-alikes: the subject's features, and a population in which they are common
ALIKE: dict[str, tuple[tuple[str, Subject, dict[str, Any]], ...]] = {
    "logprob_harvest": (
        ("everybody asks for them", {"logprob_share": 0.9}, {"logprob_share": 0.9}),
        ("now and then", {"logprob_share": 0.05}, {}),
    ),
    "long_outputs": (
        ("a usual length", {"log2_output_mean": 7.5}, {}),
        ("long here as everywhere", {"log2_output_mean": 12.0}, {"log2_output_mean": 12.0}),
    ),
    "no_dialogue": (
        ("people follow up", {"follow_up_share": 0.3}, {}),
        ("nobody in this log follows up", {"follow_up_share": 0.0}, {"follow_up_share": 0.0}),
        ("the log tells no turns", {"follow_up_share": None}, {"follow_up_share": None}),
    ),
    "reconnaissance": (
        ("refused once in fifty", {"refusal_share": 0.02}, {}),
        ("a strict model refuses half of everything", {"refusal_share": 0.6}, {"refusal_share": 0.6}),
    ),
    "rubric_grading": (
        ("an evaluator among evaluators", {"rubric_grading_share": 0.9}, {"rubric_grading_share": HALF}),
        ("some grading", {"rubric_grading_share": 0.1}, {}),
    ),
    "task_generation": (
        ("a teacher writing exercises", {"task_generation_share": 0.1}, {}),
        ("a log of test generation", {"task_generation_share": 0.9}, {"task_generation_share": HALF}),
    ),
    "trace_elicitation": (
        ("step by step in homework", {"trace_elicitation_share": 0.1}, {}),
        ("a tutor's log", {"trace_elicitation_share": 0.9}, {"trace_elicitation_share": HALF}),
    ),
    "volume_and_coverage": (
        ("a small account", {"exchanges": 20}, {}),
        ("large among the large", {"exchanges": 5000}, {"exchanges": 5000}),
    ),
}


def test_every_detector_has_both_kinds_of_case() -> None:
    assert set(SEEN) == set(DETECTORS)
    assert {name for name, cases in ALIKE.items() if cases} == set(DETECTORS)


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=list(DETECTORS))
def test_a_detector_states_what_it_is_for(detector: Detector) -> None:
    said = detector.state(subject(**SEEN[detector.NAME]), Population(population()))
    assert said is not None
    assert said.bits >= (1.0 if detector.NAME == "no_dialogue" else 5.0)
    assert said.n == SEEN[detector.NAME].get("exchanges", 30)


@pytest.mark.parametrize(
    ("detector", "features", "fixed"),
    [
        pytest.param(DETECTORS[name], features, fixed, id=f"{name}-{what}")
        for name, cases in ALIKE.items()
        if name in DETECTORS
        for what, features, fixed in cases
    ],
)
def test_a_detector_states_nothing_of_what_looks_alike(
    detector: Detector, features: Subject, fixed: dict[str, Any]
) -> None:
    said = detector.state(subject(**features), Population(population(**fixed)))
    assert said is None or said.bits <= 1.0, said


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=list(DETECTORS))
def test_a_detector_keeps_to_its_word(detector: Detector) -> None:
    said = detector.state(subject(**SEEN[detector.NAME]), Population(population()))
    assert said is not None
    assert re.search(r"\d", said.text)
    assert "{" not in said.text
    assert 0 <= said.bits <= MOST_BITS
    for number in (said.bits, said.actual, said.baseline, said.population_p95):
        assert type(number) is float
        assert math.isfinite(number)
    assert type(said.n) is int
    for part in ("Null:", "Blind to:", "Fooled by:", "Source:"):
        assert part in detector.__doc__
    assert detector.state.__doc__


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=list(DETECTORS))
def test_a_detector_is_pure_and_free_of_order(detector: Detector) -> None:
    table, asked = population(), subject(**SEEN[detector.NAME])
    before = copy.deepcopy(asked)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(len(table))))
    first = detector.state(asked, Population(table))
    assert detector.state(asked, Population(table)) == first
    assert detector.state(asked, Population(shuffled)) == first
    assert asked == before
    assert table.equals(population())


@pytest.mark.parametrize("others", [0, 1], ids=["nobody", "one account"])
@pytest.mark.parametrize("detector", DETECTORS.values(), ids=list(DETECTORS))
def test_without_a_population_a_detector_states_nothing(detector: Detector, others: int) -> None:
    said = detector.state(subject(**SEEN[detector.NAME]), Population(population(others)))
    assert said is None or (others and 1 <= said.bits <= 1.0), said


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=list(DETECTORS))
def test_a_detector_states_nothing_of_what_the_log_does_not_say(detector: Detector) -> None:
    nothing: Mapping[str, float | int | None] = dict.fromkeys(SCHEMA.names) | {"exchanges": 12}
    assert detector.state(nothing, Population(population())) is None
    silent = population(**{name: None for name in ORDINARY if name != "exchanges"})
    assert detector.state(nothing, Population(silent)) is None


def test_a_population_leaves_out_who_hardly_spoke() -> None:
    table = population(40, exchanges=[2] * 20 + [50] * 20)
    assert Population(table).share_at_least("exchanges", 50) == 1.0
    assert Population(table).quantile("exchanges", 0) == 50


# --- the lone harvest -------------------------------------------------------------------------------------


def heavy(crowd: Crowd, **columns: Any) -> None:
    """Honest heavy payers over eight days: twenty with sessions, and three applications that never stop."""
    rng = crowd.rng
    for k in range(3):
        for j in range(500):
            user = f"person-{j % 70}"
            crowd.says(f"app{k}", 192 * j / 500, sentence(rng, 12), model=MODELS[k % 4], end_user=user)
    for k in range(20):
        sessions = [rng.uniform(0, 190) for _ in range(12)]
        frame = sentence(rng, 9)
        prompts = [f"{frame} {sentence(rng, 6)}" for _ in range(200)]
        for j in range(400):
            honest = {
                "model": MODELS[(k + j % 3) % 4] if k % 2 else MODELS[k % 4],
                "turn": 1 + j % 3 if k % 3 == 0 else 1,
                "end_user": f"u{j % 40}" if k % 3 == 1 else None,
                "response_format": "json_object" if k % 3 == 2 else None,
            }
            crowd.says(
                f"h{k:02}",
                rng.choice(sessions) + rng.expovariate(1.0),
                rng.choice(prompts),
                **(honest | columns),
            )


def harvester(crowd: Crowd, many: int = 1200, hours: float = 70.0, **columns: Any) -> None:
    """One account that sends a list and gets reasoning, at an even pace, day and night."""
    rng, prompt = crowd.rng, columns.pop("prompt", None)
    for j in range(many):
        text = prompt(j) if prompt else f"{sentence(rng, 7)} with every reasoning step {sentence(rng, 8)}"
        honest = {k: v(j) if callable(v) else v for k, v in columns.items()}
        at = 110 + hours * j / many + rng.uniform(0, 0.01)
        crowd.says("lone", at, text, **({"model": "mira-think", "turn": 1} | honest))


def seen(
    crowd: Crowd, private: Callable[[str], bool] = lambda name: True, before: int | None = None
) -> list[tuple[str, Sighting]]:
    """Return the sightings in a crowd's log, or in the part before a row, and the accounts' names."""
    table = crowd.table().sort_by("time")
    log = log_of(table if before is None else table.slice(0, before))
    found = sightings(log, log["account"], np.array([private(n) for n in log.accounts], bool))
    return [(log.accounts[s.payer], s) for s in found]


def world(**columns: Any) -> Crowd:
    crowd = begun(11, heavy)
    harvester(crowd, **columns)
    return crowd


@pytest.fixture(scope="module")
def lone() -> Crowd:
    return world()


def test_a_lone_harvest_is_seen_before_it_has_taken_a_thousand(lone: Crowd) -> None:
    ((name, sighting),) = seen(lone)
    assert name == "lone"
    assert sighting.exchanges <= 1000
    assert sighting.total_bits >= LEAST_BITS
    assert 0 < sighting.p_value <= 1
    assert type(sighting.p_value) is float
    assert re.search(r"after \d+ exchanges .*ranks 1 of \d+ heavy payers", sighting.text)
    assert len(sighting.traits) == len(sighting.bits) == len(TRAITS)


HONEST: dict[str, dict[str, Any]] = {
    "an application with end users": {"end_user": lambda j: f"person-{j % 90}"},
    "follow-up turns": {"turn": lambda j: 1 + j % 4},
    "repeats its prompts": {"prompt": lambda j: f"what is the state of order number {WORDS_OF[j % 60]} now"},
    "a burst of one hour": {"hours": 1.0},
    "a batch that wants JSON": {"response_format": "json_schema", "temperature": 0.0},
    "an agent with tools": {"tools": 5},
    "too few": {"many": STEPS[0] - 1},
}
WORDS_OF = [sentence(Crowd(5).rng, 1) + str(k) for k in range(60)]


@pytest.mark.parametrize("honest", HONEST.values(), ids=list(HONEST))
def test_a_lone_honest_payer_is_not_seen(honest: dict[str, Any]) -> None:
    rng = Crowd(6).rng
    assert seen(world(**{"prompt": lambda j: sentence(rng, 15)} | honest)) == []


def test_an_organisation_or_a_permission_is_not_seen(lone: Crowd) -> None:
    assert seen(lone, lambda name: name != "lone") == []


def test_a_public_test_set_is_not_seen() -> None:
    """What others sent before is no harvest: here another payer ran the same list."""
    crowd = begun(11, heavy)
    listed = [sentence(crowd.rng, 15) for _ in range(1200)]
    for j, text in enumerate(listed):
        crowd.says("h00", 1 + j / 20, text, model=MODELS[j % 4], turn=2)
    harvester(crowd, prompt=lambda j: listed[j])
    assert seen(crowd) == []


def test_too_few_heavy_payers_carry_no_claim() -> None:
    crowd = Crowd(11)
    harvester(crowd)
    assert seen(crowd) == []


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 100])
def test_a_sighting_does_not_wait_for_what_comes_later(lone: Crowd, after: int) -> None:
    """The log up to the time of the sighting contains all of it; without the last row there is none yet."""
    ((_, whole),) = seen(lone)
    times = sorted(int(row["time"].timestamp() * 1_000_000 + 0.5) for row in lone.rows)
    until = times.index(whole.at_us) + 1
    assert [s for _, s in seen(lone, before=until + after)] == [whole]
    assert seen(lone, before=until - 1) == []


def test_sightings_are_pure(lone: Crowd) -> None:
    log = log_of(lone.table())
    private = np.ones(len(log.accounts), bool)
    before = {name: column.copy() for name, column in log.columns.items()}
    first: list[Sighting] = sightings(log, log["account"], private)
    assert sightings(log, log["account"], private) == first
    assert all(np.array_equal(before[name], log[name]) for name in before)


@pytest.mark.slow
def test_sightings_do_not_depend_on_what_payers_are_called(lone: Crowd) -> None:
    other = Crowd(11, [dict(row, account="z" + row["account"][::-1]) for row in lone.rows])
    ((_, a),), ((_, b),) = seen(lone), seen(other)
    assert (a.at_us, a.traits, a.bits, a.p_value) == (b.at_us, b.traits, b.bits, b.p_value)


def test_a_bare_log_is_no_trouble() -> None:
    few = [{"time": row["time"], "account": "a", "prompt": "b"} for row in world(many=5).rows[:5]]
    assert seen(Crowd(1, few)) == []
    assert seen(Crowd(1, few), before=1) == []


def test_the_lone_harvest_says_what_it_assumes() -> None:
    for part in ("Null:", "Blind to:", "Fooled by:", "Source:"):
        assert part in (lone_harvest.__doc__ or "")
