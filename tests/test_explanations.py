"""Facts known to the provider that make a group's members honest, such as a class."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from holds_world import HOUR_US, START_US, log_of
from stillwatch.actors import AccountFacts, ActorContext
from stillwatch.actors.links import no_links
from stillwatch.actors.spread import Spread
from stillwatch.exchanges.log import FINISH, ExchangeLog
from stillwatch.scan.doubtful_groups import NOTHING_LEFT, doubt_of_hands
from stillwatch.scan.explanations import (
    Products,
    answer_size,
    class_members,
    same_material,
    same_questions,
    share_instruments,
    short_answers,
    viral_prompt,
)
from stillwatch.scan.group_members import who_took_part
from stillwatch.scan.set_aside import keep_signature
from stillwatch.scan.sites import event_members, hosting_networks, main_networks, site_members, sites
from stillwatch.stats.exchangeability import ContentTest
from stillwatch.text.kernel import CONTEXT_BITS


def test_who_goes_through_a_course_as_far_as_he_comes_is_told_from_a_pool_that_samples() -> None:
    """Forty accounts: in a course of twelve tasks, or in a pool that sends each question eight times."""
    rng = np.random.default_rng(3)
    text = rng.integers(0, 2**64, 600, dtype=np.uint64)  # half of the hashes exceed a signed number
    reached = rng.integers(1, 13, 40)
    course = [(text[task], account) for account in range(40) for task in range(reached[account])]
    own = [(text[100 + k], k % 40) for k in range(len(course))]
    pool = [(text[k], account) for k in range(60) for account in rng.choice(40, 8, replace=False)]

    def explained(asked: list[tuple[np.uint64, int]]) -> bool:
        texts = np.array([text for text, _ in asked], np.uint64)
        return bool(same_material(texts, np.array([who for _, who in asked], np.int32)))

    assert explained(course)
    assert explained(course + own)
    assert not explained(course + own * 3)  # a fifth of them from the course
    assert not explained(pool)
    assert not explained([(text[0], account) for account in range(40)])  # one text is no course


@pytest.mark.parametrize("high", [0, 2**63], ids=["small hashes", "hashes that are no signed number"])
def test_the_same_questions_are_counted_whatever_their_hash(high: int) -> None:
    few = ContentTest(0.5, 0.0, 0.001, 900, 0.9, same=1 / 20, repeated=0.9)
    log = log_of((k, f"acct-{k % 2}", 200, high + k // 2) for k in range(40))
    assert "a class" in same_questions(few, log, np.arange(40), log["account"])


STOP, CUT, CALL, UNKNOWN = FINISH["stop"], FINISH["length"], FINISH["tool_calls"], 0


@pytest.mark.parametrize(
    ("answers", "short"),
    [
        ([(34, STOP)], True),
        ([(400, STOP)], False),
        ([(100, STOP)] * 5 + [(400, STOP)], True),
        ([(5, STOP)] * 20 + [(400, STOP)], False),
        ([(120, CUT)], False),
        ([(60, CALL)], False),
        ([(34, UNKNOWN)], False),
        ([(-1, STOP)], False),
        ([(34, STOP)] + [(-1, STOP)] * 2, False),
        ([(0, UNKNOWN)], False),
    ],
    ids=[
        "labels",
        "solutions",
        "labels have more tokens than solutions",
        "many labels beside one solution, which has most of the tokens",
        "answers in pieces",
        "calls of tools",
        "ends that nobody recorded",
        "tokens unknown",
        "tokens mostly unknown",
        "nothing was answered",
    ],
)
def test_answers_are_short_where_half_of_the_tokens_are(answers: list[tuple[int, int]], short: bool) -> None:
    log = log_of((k, "acct", 200, k) for k in range(len(answers)))
    tokens, finish = np.array(answers, np.int32).T
    nothing = np.full(len(answers), -1, np.int32)
    log.columns.update(output_tokens=tokens, finish=finish, reasoning_tokens=nothing, top_logprobs=nothing)
    rows = np.arange(len(log))
    ended = replace(log, has=frozenset({"finish_reason"}))
    assert ("labels" in short_answers(ended, rows)) is short
    if set(finish.tolist()) == {STOP}:  # a log without ends
        log.columns["finish"] = np.zeros_like(finish)
        assert ("labels" in short_answers(log, rows)) is short
        log.columns["finish"] = finish
    log.columns["reasoning_tokens"] = nothing + 501  # billed beside the answer, and mostly not shown
    assert ("labels" in short_answers(ended, rows)) is short
    log.columns["output_tokens"] = np.where(tokens < 0, tokens, tokens + 500)  # charged as a part of it
    assert ("labels" in short_answers(ended, rows)) is short
    log.columns["output_tokens"] = tokens
    log.columns.update(reasoning_tokens=nothing, top_logprobs=nothing + 21)
    assert not short_answers(ended, rows)


@pytest.mark.parametrize(
    ("tokens", "size"),
    [([], 0), ([-1, -1], 0), ([0], 0), ([700], 700), ([10, 20, 30], 20), ([12] * 50 + [800], 800)],
    ids=["nothing", "unknown", "empty", "one", "the middle of the tokens", "a long one among cheap ones"],
)
def test_the_size_of_answers_is_where_half_of_the_tokens_stand(tokens: list[int], size: int) -> None:
    log = log_of((k, "acct", 200, k) for k in range(len(tokens)))
    log.columns["output_tokens"] = np.array(tokens, np.int32)
    log.columns["reasoning_tokens"] = np.full(len(tokens), -1, np.int32)
    assert answer_size(log, np.arange(len(tokens))) == size


def known_by(domains: list[str]) -> AccountFacts:
    blank = [""] * len(domains)
    return AccountFacts(blank, blank, np.zeros(len(domains), np.int64), blank, [()] * len(domains), domains)


@pytest.mark.parametrize(
    ("students", "others", "elsewhere", "set_aside"),
    [(20, 8, 5, 20), (3, 20, 5, 3), (2, 20, 5, 0), (20, 8, 700, 0), (0, 20, 5, 0)],
    ids=["a class beside a pool", "a few", "two by chance", "a log of a university", "none"],
)
def test_a_class_is_taken_out_of_a_group_and_leaves_the_pool(
    students: int, others: int, elsewhere: int, set_aside: int
) -> None:
    domains = ["uni.ac.at"] * students + ["gmail.com"] * others
    domains += ["mit.edu"] * elsewhere + ["example.com"] * (1000 - elsewhere)
    group = np.arange(students + others, dtype=np.int32)
    assert class_members(known_by(domains), group).tolist() == list(range(set_aside))
    assert class_members(None, group).tolist() == []


@pytest.mark.parametrize(
    ("payment", "party", "shared"),
    [
        (["a"] * 9 + ["b"] * 9, [0] * 9 + [9] * 9, False),
        (["a", "a", "b", "b"], [0, 1, 2, 3], True),
        (["a"] * 9 + ["b", "c", "d"], [0] * 9 + [9, 10, 11], False),
        (["a"] * 6 + ["b"], [0, 1, 1, 1, 1, 1, 6], True),
        ([""] * 4, [0, 1, 2, 3], False),
    ],
    ids=["two firms' cards", "strangers in pairs", "a firm and three", "a firm and a stranger", "none known"],
)
def test_colleagues_with_their_firms_card_share_nothing_with_others(
    payment: list[str], party: list[int], shared: bool
) -> None:
    blank = [""] * len(payment)
    zero = np.zeros(len(payment), np.int64)
    known = AccountFacts(blank, payment, zero, blank, [()] * len(payment), blank)
    assert share_instruments(known, np.arange(len(payment)), np.array(party)) is shared


@pytest.mark.parametrize(
    ("hours_of", "explained"),
    [
        ([[0, 1]] * 20, True),
        ([[0, 1]] * 14 + [[0, 1, 40]] * 3 + [[0, 20, 40, 60]] * 3, True),
        ([[0, 30, 60, 90]] * 20, False),
        ([[0, 1]] * 12 + [[0, 30, 60, 90]] * 8, False),
        ([[0, 1, 2, 3, 4, 5, 6]] * 20, False),
        ([[0, 1]] * 80 + [list(range(0, 60, 3))] * 20, False),
    ],
    ids=[
        "viewers of a show",
        "of whom some come back",
        "a slow pool",
        "a pool that grows",
        "a night's work",
        "a pool behind decoys",
    ],
)
def test_a_prompt_that_goes_round_is_tried_and_left(hours_of: list[list[int]], explained: bool) -> None:
    label = np.repeat(np.arange(len(hours_of)), [len(hours) for hours in hours_of])
    ts_us = np.concatenate(hours_of) * HOUR_US
    text = viral_prompt(ts_us, label)
    assert bool(text) is explained
    if explained:
        assert f"of {len(hours_of)} accounts used its wording a few times" in text


@pytest.mark.parametrize(
    ("networks", "cards", "days", "at_event"),
    [
        ([1] * 10, 0, [(0, 2)] * 10, range(10)),
        ([1] * 8 + [2, 3], 0, [(0, 2)] * 10, range(8)),
        ([1, 1, 1, 2, 2, 2, 3, 3, 4, 4], 0, [(0, 2)] * 10, range(10)),
        ([1] * 10, 4, [(0, 2)] * 10, range(4, 10)),
        ([1] * 10, 8, [(0, 2)] * 10, []),
        ([1] * 10, 0, [(0, 2)] * 6 + [(0, 3.5)] * 4, range(6)),
        ([1] * 12, 0, [(0, 2)] * 3 + [(1, 3)] * 5 + [(3.5, 5)] * 4, range(8)),
        (list(range(10)), 0, [(0, 2)] * 10, []),
        ([-1] * 10, 0, [(0, 2)] * 10, []),
        ([1] * 2, 0, [(0, 2)] * 2, []),
    ],
    ids=[
        "a hackathon",
        "two at home",
        "teams at tables",
        "four pay",
        "eight pay",
        "four stay longer",
        "a row of accounts, three days of each",
        "each from its own network",
        "networks unknown",
        "two people",
    ],
)
def test_people_at_an_event_pay_nothing_share_networks_and_leave(
    networks: list[int], cards: int, days: list[tuple[float, float]], at_event: Sequence[int]
) -> None:
    many = len(networks)
    blank, payment = [""] * many, [f"card{k}" for k in range(cards)] + [""] * (many - cards)
    payment = [*payment, "elsewhere"]  # the table has an account's payment
    known = AccountFacts(blank, payment, np.zeros(many, np.int64), blank, [()] * many, blank)
    begin_us, end_us = (START_US + (24 * HOUR_US * np.array(days)).astype(np.int64)).T
    everybody = np.arange(many, dtype=np.int32)
    members = event_members(known, np.array(networks), everybody, begin_us, end_us)
    assert members.tolist() == list(at_event)
    untold = AccountFacts(blank, blank, np.zeros(many, np.int64), blank, [()] * many, blank)
    for facts in (None, untold):  # unknown payment is not the same as no payment
        assert not len(event_members(facts, np.array(networks), everybody, begin_us, end_us))


@pytest.mark.parametrize(
    ("networks", "system", "together"),
    [
        ([1] * 6, 3320, range(6)),
        ([1, 1, 1, 2, 2, 2], 3320, range(6)),
        ([1, 1, 1, 2, 2, 3], 3320, range(3)),
        ([1, 1, 2, 2, 3, 3], 3320, []),
        ([1] * 6, 24940, []),
        ([1] * 6, -1, []),
        ([-1] * 6, 3320, []),
    ],
    ids=[
        "an office",
        "two floors",
        "a pair",
        "pairs",
        "a rented server",
        "system unknown",
        "network unknown",
    ],
)
def test_a_site_is_an_address_of_several_accounts_that_is_no_rented_server(
    networks: list[int], system: int, together: Sequence[int]
) -> None:
    log = log_of([(START_US + k, f"acct-{k}", 200, k) for k in range(6)])
    log.columns["net"] = np.array(networks, np.int32)[log["account"]]
    log.columns["asn"] = np.full(len(log), system, np.int32)
    everybody = np.arange(6, dtype=np.int32)
    site = sites(log, main_networks(log))
    assert site_members(site, everybody).tolist() == list(together)
    log.columns["asn"][0] = 5089  # the first network would have two systems
    elsewhere = [k for k in together if networks[k] != networks[0]]
    assert site_members(sites(log, main_networks(log)), everybody).tolist() == elsewhere
    # an account alone at its site is not set aside: the others there are not accused
    assert site_members(site, everybody[:1]).tolist() == []


@pytest.mark.parametrize(("silent_since", "together"), [(0, range(6)), (3, range(6)), (4, [])])
def test_exchanges_without_a_number_do_not_speak_against_those_with_one(
    silent_since: int, together: Sequence[int]
) -> None:
    """A gateway gets a table of networks: accounts without later requests have none, and 0 means none."""
    log = log_of([(START_US + k, f"acct-{k % 6}", 200, k) for k in range(12)])
    log.columns["net"] = np.ones(12, np.int32)
    log.columns["asn"] = np.array([-1, -1, -1, 0, 0, 0, *[3320] * 6], np.int32)
    log.columns["asn"][12 - silent_since :] = -1
    site = sites(log, main_networks(log))
    assert site_members(site, np.arange(6, dtype=np.int32)).tolist() == list(together)


def test_clouds_are_hosting_networks_and_access_providers_are_none() -> None:
    known = set(hosting_networks().tolist())
    clouds = {
        "Amazon": 16509,
        "Microsoft": 8075,
        "Google": 396982,
        "OVH": 16276,
        "Hetzner": 24940,
        "Vultr": 20473,
    }
    providers = {
        "Deutsche Telekom": 3320,
        "Orange": 3215,
        "Comcast": 7922,
        "AT&T": 7018,
        "DFN": 680,
        "JANET": 786,
    }
    assert known.issuperset(clouds.values())
    assert not known & set(providers.values())


@pytest.mark.parametrize(
    ("left", "keeps"),
    [(range(6), True), (range(3), True), (range(3, 6), False), ((0, 1, 3), False), ((), False)],
    ids=["all", "who share it", "who have a part each", "too few of each", "nobody"],
)
def test_who_is_left_of_a_group_must_share_its_wording_still(left: Sequence[int], keeps: bool) -> None:
    """Tenants 0 to 2 took up all four fingerprints; 3 to 5 one each, a different one for each of them."""
    entries = [(tenant, fingerprint) for tenant in range(3) for fingerprint in range(4)]
    entries += [(tenant, tenant - 3) for tenant in range(3, 6)]
    tenant, fingerprint = np.array(entries, np.int32).T
    nothing = np.zeros(0, np.int32)
    spread = Spread(
        no_links(), tenant, fingerprint, np.zeros(len(tenant), np.int32), nothing, nothing,
        np.zeros(4, np.int64), np.zeros(4, np.int8), np.zeros(4, np.uint32), nothing,
    )  # fmt: skip
    assert keep_signature(spread, np.arange(4), np.array(left, np.int32)) is keeps
    assert keep_signature(spread, np.zeros(0, np.int64), np.array(left, np.int32))


def log_of_agents(rows: list[tuple[str, int, int, int]]) -> ExchangeLog:
    """One exchange of each account: its user agent, model, limit and temperature in thousandths."""
    agents = tuple(sorted({row[0] for row in rows}))
    columns = {
        "ts_us": np.arange(len(rows)),
        "agent": np.array([agents.index(row[0]) for row in rows], np.int32),
        "model": np.array([row[1] for row in rows], np.int32),
        "max_tokens": np.array([row[2] for row in rows], np.int32),
        "temperature_milli": np.array([row[3] for row in rows], np.int32),
    }
    nothing = np.zeros((len(rows), 1), np.uint32)
    return ExchangeLog(
        columns, nothing, nothing, tuple(map(str, range(len(rows)))), (), frozenset(), 0, agents=agents
    )


CHOSEN = [(limit, milli) for limit in (256, 512, 1024, 2048, 4096) for milli in (-1, 0, 200, 700, 1000)]
POOL = ("acme-python/3.1", 0, 8192, 600)


@pytest.mark.parametrize(
    ("others", "explained"),
    [
        ([("acme-python/2.9", 0, *pair) for pair in CHOSEN * 4], False),
        ([("acme-python/2.9", 0, 8192, 600)] * 60 + [("acme-python/2.9", 0, *pair) for pair in CHOSEN], True),
        ([("acme-python/2.9", 0, 4096, 0)] * 60 + [("acme-python/2.9", 0, *pair) for pair in CHOSEN], True),
        ([("acme-python/2.9", 0, *pair) for pair in CHOSEN * 2] + [POOL] * 40, True),
        ([("acme-python/2.9", 1, *pair) for pair in CHOSEN * 4], True),
        ([("acme-python/2.9", 0, *pair) for pair in CHOSEN[:10]], True),
    ],
    ids=[
        "a library, whose users choose",
        "a product, and its defaults",
        "a product, and other settings than its defaults: an update",
        "two fifths have the group's settings",
        "a new model, for which nobody else uses it",
        "too few users to tell",
    ],
)
def test_a_name_explains_equal_settings_only_where_its_other_users_have_any(
    others: list[tuple[str, int, int, int]], explained: bool
) -> None:
    elsewhere = [("deskchat/1", 0, *pair) for pair in CHOSEN * 40]
    log = log_of_agents([POOL] * 30 + others + elsewhere)
    users = Products(log).users(np.arange(len(log)), range(30), np.arange(30), 0, len(log))
    assert users == (dict.fromkeys(range(30), "acme-python") if explained else {})


@pytest.mark.parametrize(
    ("agents", "explained"),
    [
        (["acme-desk/3"] * 4, True),
        (["curl/8", "curl/8", "acme-desk/3", "acme-desk/3"], True),
        (["curl/8", "axios/1", "okhttp/5", "acme-desk/3"], False),
        (["acme-desk/3", "acme-desk/3", "acme-desk/3", "curl/8"], True),
    ],
    ids=["always", "half of the time", "the latest alone", "all but the latest"],
)
def test_an_account_runs_what_half_of_its_exchanges_name(agents: list[str], explained: bool) -> None:
    """Thirty accounts, four exchanges each, beside a thousand accounts with other software."""
    rows = [(agent, 0, 8192, 600) for agent in agents for _ in range(30)]
    log = log_of_agents(rows + [("deskchat/1", 0, 4096, 700)] * 1_000)
    label = np.r_[np.tile(np.arange(30), 4), np.arange(30, 1_030)]
    users = Products(log).users(label, range(30), np.arange(120), 0, len(log))
    assert users == (dict.fromkeys(range(30), "acme-desk") if explained else {})


@pytest.mark.parametrize(
    ("apart_us", "own_words", "doubt"),
    [(HOUR_US, False, NOTHING_LEFT), (HOUR_US, True, ""), (HOUR_US // 3_600, True, "")],
    ids=["a contest on one public set", "a pool", "its last minute, which a live log still holds"],
)
def test_a_finding_whose_content_is_all_shared_is_a_lead(apart_us: int, own_words: bool, doubt: str) -> None:
    """Six accounts; each exchange contains the group's words; a pool's also has others, dealt at random."""
    rng = np.random.default_rng(2)
    many = 6 * 12
    words = np.tile(np.arange(1, 5, dtype=np.uint32) << CONTEXT_BITS, (many, 1))
    if own_words:
        words[:, 1:] = rng.integers(10, 60, (many, 3)).astype(np.uint32) << CONTEXT_BITS
    columns = {
        "ts_us": START_US + np.arange(many) * apart_us,
        "account": np.tile(np.arange(6, dtype=np.int32), 12),
        "conversation": np.zeros(many, np.uint32),
        "exact": rng.integers(1, 2**64, many, dtype=np.uint64),
        **dict.fromkeys(("output_tokens", "reasoning_tokens", "top_logprobs", "finish"), np.full(many, -1)),
    }
    nothing = np.zeros((many, 1), np.uint32)
    accounts = tuple(f"acct-{k}" for k in range(6))
    log = ExchangeLog(columns, nothing, nothing, accounts, (), frozenset(), 0, np.sort(words, axis=1))
    none = np.zeros(0, np.int32)
    context = ActorContext(log, known_by(["gmail.com"] * 6), none, none, none, none)
    rows = np.arange(many)
    assert doubt_of_hands(context, np.arange(6), rows, np.ones(many, bool)) == doubt


@pytest.mark.parametrize(
    ("tenant", "took_part", "named"),
    [
        ([0, 0, 0, 1], [0, 3], [0, 3]),
        ([0, 0, 0, 1], [3], [0, 1, 2, 3]),
        ([0, 1, 2, 3], [0, 3], [0, 1, 2, 3]),
    ],
    ids=[
        "a firm, one key of which a pool uses",
        "a firm that something else ties",
        "accounts without a firm",
    ],
)
def test_a_colleague_is_not_named_for_what_another_sent(
    tenant: list[int], took_part: list[int], named: list[int]
) -> None:
    sender, marked = np.arange(4, dtype=np.int32), np.isin(np.arange(4), took_part)
    assert who_took_part(sender, np.array(tenant), np.arange(4), marked).tolist() == named
