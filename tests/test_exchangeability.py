"""Whether content depends on the account: queues, people, constants, and groups of two kinds."""

from collections import Counter
from itertools import groupby, pairwise

import numpy as np
import pytest

from stillwatch.actors.clients import product
from stillwatch.compiled_code.library import kernels
from stillwatch.scan.explanations import few_questions
from stillwatch.stats.eigenvector import leading_eigenvector
from stillwatch.stats.exchangeability import LEAST_PAIRS, ContentTest, Hands, account_content, two_parts
from stillwatch.units import DAY_US, HOUR_US

BITS = 12
KEPT = 24


def words(rng, vocabulary, many=KEPT):
    """Content words of one text, in their own contexts."""
    chosen = rng.choice(vocabulary, many, replace=False)
    return chosen.astype(np.uint32) << BITS | rng.integers(1, 1 << BITS, many).astype(np.uint32)


def group(rng, accounts=20, each=8, days=5, subject=None, constant=0):
    """(sessions, KEPT) content, account, time. subject(account, session): the vocabulary to draw from."""
    common = np.arange(1, 4000)
    content, account, at = [], [], []
    for a in range(accounts):
        own = words(rng, common, constant) if constant else np.zeros(0, np.uint32)
        for s in range(each):
            drawn = words(rng, common if subject is None else subject(a, s), KEPT - constant)
            content.append(np.concatenate([own, drawn]))
            account.append(a)
            at.append(int((s + rng.random()) / each * days * DAY_US))
    return np.array(content), np.array(account), np.array(at)


def own_subject(a, s):
    """A quarter of the words belong to the account alone."""
    return np.r_[np.arange(1, 300), np.arange(10_000 + 100 * a, 10_100 + 100 * a)]


def test_a_queue_is_one_source_and_people_are_many():
    rng = np.random.default_rng(1)
    assert account_content(*group(rng), BITS).hands is Hands.ONE
    test = account_content(*group(rng, subject=own_subject), BITS)
    assert test.hands is Hands.MANY
    assert test.p_value == 0.005


def test_too_few_sessions_say_nothing():
    rng = np.random.default_rng(2)
    assert account_content(*group(rng, accounts=5, each=3), BITS).hands is Hands.OPEN
    assert account_content(*group(rng, accounts=1), BITS).hands is Hands.OPEN
    nothing = np.zeros((0, KEPT), np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    assert account_content(*nothing, BITS).hands is Hands.OPEN


def test_texts_without_content_words_say_nothing():
    content, account, at = group(np.random.default_rng(3))
    assert account_content(content * 0, account, at, BITS).hands is Hands.OPEN


@pytest.mark.slow
def test_p_values_are_uniform_where_one_queue_is_dealt():
    """400 queues: as many small p-values as expected from uniform ones, within three standard deviations."""
    rng = np.random.default_rng(4)
    p = np.array([account_content(*group(rng, accounts=8, each=5), BITS).p_value for _ in range(400)])
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 3 * np.sqrt(level * (1 - level) / 400) + 0.005


def test_people_are_hardly_ever_taken_for_one_source():
    rng = np.random.default_rng(5)
    found = [account_content(*group(rng, accounts=10, each=5, subject=own_subject), BITS) for _ in range(60)]
    assert sum(test.hands is Hands.ONE for test in found) <= 3  # the bound is one of 95 %


@pytest.mark.parametrize("constant", [4, 12])
def test_a_constant_of_each_account_makes_no_people(constant):
    """A wrapper paraphrased per account, or a working directory: it costs nothing, so it proves nothing."""
    test = account_content(*group(np.random.default_rng(6), constant=constant), BITS)
    assert test.hands is Hands.ONE


def test_a_pool_that_deals_whole_subjects_is_not_taken_for_one_source():
    """Seven of ten subjects depend on the account: the cost of evading this test."""
    rng = np.random.default_rng(7)

    def sticky(a, s):
        a = a if rng.random() < 0.7 else int(rng.integers(20))
        return np.r_[np.arange(1, 60), np.arange(10_000 + 100 * a, 10_100 + 100 * a)]

    assert account_content(*group(rng, subject=sticky), BITS).hands is not Hands.ONE


def test_names_and_order_of_accounts_do_not_matter_to_the_verdict():
    rng = np.random.default_rng(8)
    content, account, at = group(rng, subject=own_subject)
    renamed = rng.permutation(20)[account]
    order = np.argsort(renamed, kind="stable")
    again = account_content(content[order], renamed[order], at[order], BITS)
    one = account_content(content, account, at, BITS)
    assert again.hands is one.hands
    assert again.effect == pytest.approx(one.effect, rel=0.1)


def test_pairs_that_are_near_in_time_count_only_when_asked():
    rng = np.random.default_rng(9)
    content, account, at = group(rng, days=1 / 48)
    assert account_content(content, account, at, BITS).pairs == 0
    assert account_content(content, account, at, BITS, apart_us=0).hands is Hands.ONE
    assert np.ptp(at) < HOUR_US
    assert account_content(content, account, at, BITS).hands is Hands.OPEN


def test_a_group_of_two_queues_falls_into_them():
    rng = np.random.default_rng(10)
    content, account, _ = group(rng, accounts=12, subject=lambda a, s: np.arange(1, 900) + 20_000 * (a % 2))
    part = two_parts(content, account, BITS)
    assert set(np.flatnonzero(part) % 2) in ({0}, {1})
    assert part.sum() == 6


def means_by_shuffling(likeness, account, at, deals, apart):
    """The result of `permuted_means`, computed with NumPy's Mersenne Twister and pair by pair."""
    n, random = len(account), np.random.RandomState(0)
    days = at // DAY_US
    order, place = np.argsort(days, kind="stable"), np.arange(n)
    means, still, dealt, pairs = [], 0, 0, 0
    for deal in range(deals + 1):
        for day in np.unique(days) if deal else ():
            seats = order[days[order] == day]
            for q in range(len(seats) - 1, 0, -1):
                while (drawn := random.randint(1 << 32, dtype=np.uint32) & (1 << q.bit_length()) - 1) > q:
                    continue
                place[[seats[q], seats[drawn]]] = place[[seats[drawn], seats[q]]]
        total, many = 0.0, 0
        for a in range(n):
            for b in np.flatnonzero(account[a + 1 :] == account[a]) + a + 1:
                i, j = max(place[a], place[b]), min(place[a], place[b])
                if abs(at[i] - at[j]) > apart:
                    total += likeness[i, j]
                    many += 1
                    still += bool(deal and account[i] == account[j])
        means.append(total / max(many, 1))
        dealt, pairs = dealt + many * bool(deal), many if deal == 0 else pairs
    return means, [still, dealt, pairs]


@pytest.mark.parametrize(
    ("n", "accounts", "labels"), [(30, 4, range(4)), (40, 9, [3, 50, 0, 7, 8, 1, 2, 60, 5])]
)
def test_labels_dealt_anew_are_dealt_as_numpy_would(n, accounts, labels):
    rng = np.random.default_rng(n)
    likeness = np.tril(rng.random((n, n)) * (rng.random((n, n)) < 0.5))
    account = np.array(labels)[rng.integers(0, accounts, n)]
    at = rng.integers(0, 3 * DAY_US, n)
    means, counts = np.zeros(6), np.zeros(3, np.int64)
    order = np.argsort(at // DAY_US, kind="stable")
    kernels.permuted_means(likeness, account, at, n, at // DAY_US, order, 5, 5 * HOUR_US, means, counts)
    expected = means_by_shuffling(likeness, account, at, 5, 5 * HOUR_US)
    assert (means.tolist(), counts.tolist()) == expected
    alike = np.zeros(n, bool)
    a, b = np.nonzero((likeness >= 0.7) & (account[:, None] != account))
    assert kernels.alike(likeness, account, n, 0.7, alike) == len(a)
    assert set(np.flatnonzero(alike)) == {*a, *b}


def rows_by_counting(content, account, bits, group_limit, own_share, rarity):
    """The result of `word_rows`, word by word: the number of words, and each session's shared ones."""
    values = [sorted(set(row.tolist()) - {0}) for row in content]
    times = Counter(v for row in values for v in row)
    own = Counter((a, v) for a, row in zip(account.tolist(), values, strict=True) for v in row)
    constant = {a: max(2, own_share * n) for a, n in Counter(account.tolist()).items()}
    words = [
        [w for w, _ in groupby(v >> bits for v in row if times[v] < group_limit and own[a, v] < constant[a])]
        for a, row in zip(account.tolist(), values, strict=True)
    ]
    sessions = Counter(w for row in words for w in row)
    term = {w: t for t, w in enumerate(sorted(w for w, n in sessions.items() if n > 1))}
    rows = []
    for row in words:
        weights = [rarity[sessions[w]] for w in row if w in term]
        length = np.sqrt(sum(w * w for w in weights))
        rows.append(([term[w] for w in row if w in term], [w / length for w in weights]))
    return sum(map(len, words)), rows


@pytest.mark.parametrize("seed", range(6))
def test_words_of_sessions_are_those_of_a_plain_count(seed):
    rng = np.random.default_rng(seed)
    n, each, labels = int(rng.integers(1, 60)), int(rng.integers(1, 12)), int(rng.integers(1, 7))
    content = rng.integers(0, [9, 200, 4000][seed % 3], (n, each)).astype(np.uint32)
    account = rng.integers(0, labels, n)
    rarity = np.r_[0.0, 0.0, np.log(n + 1) - np.log(np.arange(2, n + 1))]
    begin, words = np.empty(n + 1, np.int64), np.empty(1, np.int64)
    term, weight = np.empty(content.size, np.int64), np.empty(content.size)
    kernels.word_rows(
        *(np.sort(content, axis=1), n, each, account, labels, 2, 0.3 * n, 0.4, rarity),
        *(begin, term, weight, words),
    )
    found = [(term[a:b].tolist(), weight[a:b].tolist()) for a, b in pairwise(begin)]
    assert (words[0], found) == rows_by_counting(content, account, 2, 0.3 * n, 0.4, rarity)


def test_a_test_is_its_own_however_like_another():
    content, account, at = group(np.random.default_rng(8), accounts=6)
    first = account_content(content, account, at, BITS)
    assert account_content(content.copy(), account, at, BITS) == first
    assert account_content(content, account, at, BITS, apart_us=DAY_US).pairs < first.pairs
    assert account_content(content[::-1], account, at, BITS) != first


def test_too_few_pairs_are_never_one_source():
    assert ContentTest(1.0, 0.0, 0.0, LEAST_PAIRS - 1, 1.0).hands is Hands.OPEN


@pytest.mark.parametrize("n", [2, 3, 26, 60])
@pytest.mark.parametrize("seed", range(8))
def test_the_leading_eigenvector_is_numpys(n, seed):
    matrix = np.random.default_rng(seed).normal(size=(n, n))
    matrix += matrix.T
    if seed == 0:
        matrix[n // 2] = matrix[:, n // 2] = 0
    value, vector = (found[..., -1] for found in np.linalg.eigh(matrix))
    found = leading_eigenvector(matrix)
    assert np.allclose(matrix @ found, value * found)
    # the sign too: it decides which part of a group is examined first
    assert np.allclose(found, vector * np.sign(vector[np.abs(vector).argmax()]))


@pytest.mark.parametrize("n", [2, 5, 60])
def test_the_leading_eigenvector_of_what_lapack_would_split(n):
    blocks = np.kron(np.eye(2), np.ones((n, n)))  # the largest eigenvalue twice
    for matrix in (blocks, np.zeros((n, n)), np.eye(n), np.diag(np.arange(n) % 3.0), blocks - 0.5):
        found = leading_eigenvector(matrix)
        assert np.linalg.norm(found) == pytest.approx(1)
        assert np.allclose(matrix @ found, np.linalg.eigvalsh(matrix)[-1] * found)


def test_libraries_name_no_product():
    assert product("diff-warden@v5") == "diff-warden"
    assert [product(f"{name}/2.1") for name in ("python-requests", "OpenAI", "Mozilla")] == ["", "", ""]


@pytest.mark.parametrize(
    ("questions", "share", "few"),
    [(25, 1.0, True), (25, 0.8, True), (150, 1.0, False), (25, 0.3, False), (25, 0.0, False)],
    ids=["a class", "and questions of their own", "samples of a set", "a cloak", "a queue"],
)
def test_a_few_questions_that_all_ask_are_exercises(questions, share, few):
    rng = np.random.default_rng(5)
    content, account, at = group(rng, accounts=40, each=6)
    exercises = np.array([words(rng, np.arange(1, 4000)) for _ in range(questions)])
    same = rng.random(len(content)) < share
    content[same] = exercises[rng.integers(0, questions, int(same.sum()))]
    test = account_content(content, account, at, BITS)
    assert test.hands is Hands.ONE
    assert few_questions(test) == few
