"""Honest explanations that equal settings and one source of content leave open, from what the provider sees.

A group with one of them stays a lead, for a person or the gateway's holds to decide.
"""

from collections import Counter
from collections.abc import Collection

import numpy as np

from stillwatch.actors import AccountFacts
from stillwatch.actors.clients import product
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.exchanges.log import FINISH, ExchangeLog
from stillwatch.scan.sites import main_networks
from stillwatch.stats.dealing import components, distinct
from stillwatch.stats.exchangeability import ContentTest
from stillwatch.stats.subsets import rate_tail
from stillwatch.units import HOUR_US

MOST = 0.8  # of a group's accounts
# share of the tenants using one product with a common payment instrument: then they are no mere customers
SHARE_INSTRUMENT = 0.5
LEAST_USERS = 3  # of one product in a group
RARE = 1e-3  # p-value of that many users of one product in a group
# The number of a product's users outside a group that suffices to show its defaults. If less than half of
# them share a limit and a temperature, or less than a third have the group's, the name is a library's and
# explains nothing.
ENOUGH_USERS, DEFAULTS, GROUPS_OWN = 20, 1 / 2, 1 / 3
UNCHECKED = (
    "no accounts table was given, so that a class, an event or a reseller's customers could not be ruled out"
)
FEW_QUESTIONS = 50  # different ones: classes have 8 to 36, campaigns that ask each many times 84 and more
WORD_FOR_WORD = 0.3  # of a group's exchanges have a text that another account has: in classes 0.31 to 0.99
MOSTLY = 0.5  # of a group's sessions ask what another account's do: a few questions among many are camouflage
# the tasks of a course: a tenth of the members ask each, there are at least five, and the counts of askers
# vary twice as much as by chance (in courses 3 to 46 times as much, in texts that pools repeat 0.1 to 0.6
# times)
COMMON, LEAST_TASKS, UNEVEN = 0.1, 5, 2.0
SHORT = 192  # output tokens, about 140 words: shorter answers are a label, a grade, a few sentences
SHORT_SHARE = 0.5  # of a group's output tokens, not of its answers: adding short answers costs nothing
ENDED = (FINISH["stop"], FINISH["refusal"])
OCCASION_US = 12 * HOUR_US  # an account that uses a wording again after this long came back to it
FEW, SEVERAL = 4, 6  # exchanges beyond a trial: for an account that came back; for one that did not
ACADEMIC = ("edu", "ac", "school")  # labels that registries assign only to institutions
HUB = 100  # accounts at one mail domain or network above which it identifies nobody, unless an institution's
# fmt: off
FREE_MAIL = frozenset((  # domains at which anyone can get an address
    "126.com", "163.com", "aol.com", "fastmail.com", "gmail.com", "gmx.de", "gmx.net",
    "hey.com", "hotmail.com", "icloud.com", "laposte.net", "libero.it", "live.com", "mail.com",
    "mail.ru", "me.com", "msn.com", "naver.com", "outlook.com", "pm.me", "proton.me",
    "protonmail.com", "qq.com", "seznam.cz", "tuta.io", "tutanota.com", "web.de", "wp.pl",
    "yahoo.com", "yandex.ru", "yopmail.com", "zoho.com",
))
# fmt: on


class Products:
    """The client product that each exchange's user agent names; libraries and browsers are ignored.

    Providers' own libraries have names that no list has. They are recognised by their users, who choose
    settings of their own, while a product's users keep its defaults.
    """

    def __init__(self, log: ExchangeLog) -> None:
        names = [product(agent) for agent in log.agents]
        self.names = sorted(set(names) - {""})
        number = {name: k for k, name in enumerate(self.names)}
        self._of_agent = np.array([*(number.get(name, -1) for name in names), -1], np.int32)
        self._agent, self._model = log["agent"], log["model"]
        self._limit, self._temperature = log["max_tokens"], log["temperature_milli"]
        # each label's latest row before `end`: hours are evaluated in order, several times each
        self._label, self._end = np.zeros(0, np.int32), 0
        self._last = np.zeros(0, np.int64)
        self._counted: tuple[int, ...] = ()  # the rows of the last call of `_latest_products`
        self._in_use = np.zeros(0, np.int32), np.zeros(0, np.int64), 0  # and its result

    def users(
        self, label: np.ndarray, members: Collection[int], rows: np.ndarray, begin: int, end: int
    ) -> dict[int, str]:
        """Return members that run a product which the group uses far more than the log does, and the product.

        Its defaults make their settings equal, so they count as customers of one vendor unless other evidence
        speaks against it. A member runs a product that half of its exchanges among `rows` name: those that
        show what the group shares. An occasional name in a changing user agent does not count. label:
        (exchanges,) sender of each; begin, end: the rows in which the log's use is counted, by the latest
        user agent of each.

        Null: members draw their products as the log's accounts do (binomial).
        """
        if not self.names:
            return {}
        last = self._last_rows(label, end)
        codes = np.array(sorted(p for p in members if p < len(last)), np.int64)
        place = np.full(len(last) + 1, -1, np.int64)  # indexed by code; the last entry is for -1
        place[codes] = np.arange(len(codes))
        place = place[label[rows]]
        rows, place = rows[place >= 0], place[place >= 0]
        of_member = self._mostly_named(place, len(codes), rows)
        inside = np.bincount(of_member[of_member >= 0], minlength=len(self.names))
        common = np.flatnonzero(inside >= LEAST_USERS)
        if not len(common):
            return {}
        latest, counts, active = self._latest_products(last, begin, end)
        latest_inside = np.bincount(latest[codes][latest[codes] >= 0], minlength=len(self.names))
        share = np.clip((counts - latest_inside + 0.5) / max(active - len(codes) + 1, 1), 0, 1)
        products_in_use = int((counts > 0).sum())  # products in use then: later ones must not count
        vendor = np.zeros(len(self.names), bool)
        for name in common:
            tail = rate_tail(int(inside[name]), len(codes), float(share[name]))
            if tail * products_in_use < RARE:
                naming = rows[(of_member[place] == name) & (self._of_agent[self._agent[rows]] == name)]
                others = np.setdiff1d(np.flatnonzero(latest == name), codes)
                vendor[name] = self._explains(self._latest_of_each(label, naming), last[others])
        return {
            int(p): self.names[name]
            for p, name in zip(codes, of_member, strict=True)
            if name >= 0 and vendor[name]
        }

    def _latest_products(self, last: np.ndarray, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Return each label's last product, -2 if before `begin`; users of each product; number of users.

        Cached: an hour's groups ask the same.
        """
        if self._counted != (begin, end):
            latest = np.where(last >= begin, self._of_agent[self._agent[last]], np.int32(-2))
            counts = np.bincount(latest[latest >= 0], minlength=len(self.names))
            self._counted, self._in_use = (begin, end), (latest, counts, int((latest > -2).sum()))
        return self._in_use

    def _mostly_named(self, place: np.ndarray, members: int, rows: np.ndarray) -> np.ndarray:
        """(members,) int32: the product named in half of each member's rows, -1 for none.

        place: (rows,) the member of each row.
        """
        products = len(self.names) + 1  # the first stands for none
        count = np.bincount(
            place * products + self._of_agent[self._agent[rows]] + 1, minlength=members * products
        ).reshape(members, products)
        most = count[:, 1:].argmax(axis=1)
        enough = 2 * count[:, 1:].max(axis=1) >= np.maximum(count.sum(axis=1), 1)
        return np.where(enough, most, -1).astype(np.int32)

    def _explains(self, of_group: np.ndarray, of_others: np.ndarray) -> bool:
        """Return whether a product's defaults may explain equal settings, by its users outside the group.

        Only users of the model that most of the group's users of it have count, since defaults differ by
        model. With too few to judge the answer is yes. of_group, of_others: one row per user.
        """
        model = np.bincount(self._model[of_group]).argmax()
        settings, count = np.unique(
            self._settings(of_group[self._model[of_group] == model]), return_counts=True
        )
        others = self._settings(of_others[self._model[of_others] == model])
        if len(others) < ENOUGH_USERS:
            return True
        commonest = np.unique(others, return_counts=True)[1].max()
        as_the_group = int((others == settings[count.argmax()]).sum())
        return bool(commonest >= DEFAULTS * len(others) or as_the_group >= GROUPS_OWN * len(others))

    def _settings(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) int64 combination of output limit and temperature."""
        limit, temperature = self._limit[rows], self._temperature[rows]
        settings: np.ndarray = limit.astype(np.int64) << 32 | temperature.astype(np.uint32)
        return settings

    @staticmethod
    def _latest_of_each(label: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the last of each label's rows, by label. rows: in the order of the log."""
        return rows[len(rows) - 1 - np.unique(label[rows][::-1], return_index=True)[1]]

    def of_rows(self) -> np.ndarray:
        """(exchanges,) int32: index in `names` of the product that each names, -1 for none."""
        products: np.ndarray = self._of_agent[self._agent]
        return products

    def _last_rows(self, label: np.ndarray, end: int) -> np.ndarray:
        """with several writes the last stays"""
        if label is not self._label or end < self._end:
            self._label, self._end, self._counted = label, 0, ()
            self._last = np.full(int(label.max()) + 1, -1, np.int64)
        self._last[label[self._end : end]] = np.arange(self._end, end)  # of several the last one stays
        self._end = end
        return self._last


def software_text(users: dict[int, str], members: int) -> str:
    """Return why users of one vendor's software stay a lead."""
    name, count = min(Counter(users.values()).items(), key=lambda item: (-item[1], item[0]))
    return f"{count:,} of {members:,} accounts run {name}, whose defaults explain equal settings"


def one_customer(known: AccountFacts | None, accounts: np.ndarray) -> str:
    """Explain a group as openly one customer: an institution's mail domains, or one payment instrument.

    Without an accounts table this cannot be known: nearly all innocents that a scan named without one were
    classes and a hackathon, which the table clears.
    """
    if known is None:
        return UNCHECKED
    if len(accounts) == 0:
        return ""
    n = len(accounts)
    by_institution = Counter(d for a in accounts if _is_academic(d := known.email_domain[a].lower()))
    if by_institution.total() >= MOST * n:
        most, students = by_institution.most_common(1)[0][0], by_institution.total()
        return f"{students:,} of {n:,} accounts are of teaching institutions ({most}): a class"
    by_instrument = Counter(known.payment[a] for a in accounts if known.payment[a])
    count = max(by_instrument.values(), default=0)
    if count >= MOST * n:
        return f"one payment instrument pays for {count:,} of {n:,} accounts: an event, a reseller"
    return ""


def customers(log: ExchangeLog, known: AccountFacts | None, payer: np.ndarray) -> np.ndarray:
    """(accounts,) int32: the customer of each account, as far as it is openly visible.

    One customer are a payer, the accounts of one private mail domain, and those that send most from one
    network. This covers colleagues, a laboratory, a project whose server has many keys, and a client that
    balances load over keys of its own. Operators who hide are not covered. payer: (accounts,) by organisation
    and payment; without an accounts table only the network is known.
    """
    if known is None:
        return payer
    shared: dict[str, list[int]] = {}
    for code, domain in enumerate(known.email_domain):
        if domain and domain.lower() not in FREE_MAIL:
            shared.setdefault(domain.lower(), []).append(code)
    for code, net in enumerate(main_networks(log).tolist()):
        if net >= 0:
            shared.setdefault(f"network {net}", []).append(code)
    together = [codes for name, codes in shared.items() if len(codes) <= HUB or _is_academic(name)]
    first = np.array([codes[0] for codes in together for _ in codes], np.int64)
    second = np.array([code for codes in together for code in codes], np.int64)
    return components(np.r_[np.arange(len(payer)), first], np.r_[payer, second], len(payer))


def class_members(known: AccountFacts | None, accounts: np.ndarray) -> np.ndarray:
    """Return those of some accounts at teaching institutions, if far more than in the table; else none.

    Null: accounts draw their mail domains as the table's do (binomial).
    """
    if known is None:
        return accounts[:0]
    academic = np.array([_is_academic(domain.lower()) for domain in known.email_domain], bool)
    inside = int(academic[accounts].sum())
    share = (int(academic.sum()) - inside + 0.5) / max(len(academic) - len(accounts) + 1, 1)
    if inside < LEAST_USERS or rate_tail(inside, len(accounts), min(share, 1.0)) >= RARE:
        return accounts[:0]
    return accounts[academic[accounts]]


def few_questions(content: ContentTest) -> bool:
    """Return whether most sessions ask one of a few questions, by their content words."""
    return content.questions < FEW_QUESTIONS and content.repeated >= MOSTLY


def same_questions(content: ContentTest, log: ExchangeLog, rows: np.ndarray, label: np.ndarray) -> str:
    """Return a sentence if a group asks few questions, many word for word (a class, an exam); or "".

    A harvest of fewer than fifty different questions teaches a student little. Problems that differ only in
    their numbers have equal content words, but different texts.

    content: the test of `rows`, all questions of the group; label: (exchanges,) sender of each.
    """
    if not few_questions(content) or _asked_by_others(log["exact"][rows], label[rows]) < WORD_FOR_WORD:
        return ""
    return (
        f"its accounts ask the same questions, about {content.questions:.0f} different ones "
        f"({content.repeated:.0%} of its sessions ask what another account's do): a class, an exam"
    )


def viral_prompt(at_us: np.ndarray, label: np.ndarray) -> str:
    """Return a sentence if most of a group tried its wording and left, with half of its exchanges; or "".

    A prompt that a show or a post asks its public to try has one source, and each user tries it a few times.
    The accounts of a pool come back to their work, or have much of it. A few accounts working behind many
    that only try it have most of the group's exchanges.

    at_us, label: (exchanges,) time and sender of each that carries the group's wording.
    """
    who, place, count = np.unique(label, return_inverse=True, return_counts=True)
    first, last = np.full(len(who), np.iinfo(np.int64).max), np.full(len(who), np.iinfo(np.int64).min)
    np.minimum.at(first, place, at_us)
    np.maximum.at(last, place, at_us)
    tried = (count < FEW) | ((count < SEVERAL) & (last - first < OCCASION_US))
    if tried.sum() < MOST * len(who) or count[tried].sum() < MOSTLY * len(label):
        return ""
    return (
        f"{tried.sum():,} of {len(who):,} accounts used its wording a few times and left it: a viral prompt, "
        "as of a show or a post"
    )


def same_material(text: np.ndarray, label: np.ndarray) -> str:
    """Return a sentence if members go through the same material at their own pace (a course); or "".

    Participants of a course have its first tasks in common and few of its last. A pool that asks each
    question several times distributes them evenly. Three in ten exchanges must have a text that a tenth of
    the members ask, and the numbers of its askers must vary twice as much as by chance.

    Null of the variance: each member asks each such text with one probability (binomial). text, label:
    (exchanges,) hash and sender of each.
    """
    texts, place, exchanges = np.unique(text, return_inverse=True, return_counts=True)
    askers = np.bincount(distinct(place.astype(np.int64) << 32 | label) >> 32, minlength=len(texts))
    members = len(np.unique(label))
    common = (askers >= max(LEAST_TENANTS, COMMON * members)) & (texts != 0)  # 0 means no text
    tasks = int(common.sum())
    if tasks < LEAST_TASKS or exchanges[common].sum() < WORD_FOR_WORD * len(text):
        return ""
    share = askers[common].mean() / members
    if askers[common].var(ddof=1) < UNEVEN * members * share * (1 - share) or share == 1:
        return ""
    return (
        f"{exchanges[common].sum() / len(text):.0%} of its exchanges ask {tasks:,} texts that many of its "
        "accounts have in common, some the first of them alone, some all: a course, a workshop"
    )


def short_answers(log: ExchangeLog, rows: np.ndarray, tokens: int = SHORT) -> str:
    """Return a sentence if half of a group's output tokens are in short answers; or "".

    Labellers, markers, help desks and firms' classifiers are one source with equal settings, and get a word
    or a few sentences each time. Training a student takes long answers.

    rows: (exchanges,) of a group; tokens: an answer with fewer is short.
    """
    share, total = short_share(log, rows, tokens)
    if not total or share < SHORT_SHARE:
        return ""
    return (
        f"{share:.0%} of the {total:,} tokens that it was given stand in complete answers of fewer than "
        f"{tokens}: labels, marks or a few sentences each, as of a desk or a classifier"
    )


def short_share(log: ExchangeLog, rows: np.ndarray, limit: int = SHORT) -> tuple[float, int]:
    """Return the share of some exchanges' output tokens in short answers, and all tokens; 0 if unknown.

    Token counts are the provider's, without reasoning. These are not counted as short, because length does
    not show their content: an answer that was cut, that calls tools, that came with log-probabilities, or
    whose end is not recorded in a log that records ends.
    """
    known = np.count_nonzero(log["output_tokens"][rows] >= 0)
    given = answer_tokens(log, rows)
    total = int(given.sum())
    if total == 0 or 2 * known < len(rows):
        return 0.0, 0
    ended = ENDED if "finish_reason" in log.has else (*ENDED, 0)
    short = (given < limit) & np.isin(log["finish"][rows], ended) & (log["top_logprobs"][rows] <= 0)
    return float(given[short].sum() / total), total


def answer_tokens(log: ExchangeLog, rows: np.ndarray) -> np.ndarray:
    """(rows,) int64 output tokens of each answer without its reasoning, which most APIs do not show.

    Some providers bill reasoning as part of the output and some in addition. If any row has more reasoning
    than output, all are taken to be billed in addition. Unknown counts are 0.
    """
    output, reasoning = log["output_tokens"][rows].astype(np.int64), log["reasoning_tokens"][rows]
    reasoning = np.where(output < 0, 0, np.maximum(reasoning, 0))
    output = np.maximum(output, 0)
    return output if (reasoning > output).any() else output - reasoning


def answer_size(log: ExchangeLog, rows: np.ndarray) -> int:
    """Return the size such that half of some exchanges' output tokens are in answers of it or more; or 0.

    Unlike the median answer it hardly changes with many cheap requests.
    """
    given = np.sort(answer_tokens(log, rows))
    summed = np.cumsum(given)
    return int(given[np.searchsorted(summed, (summed[-1] + 1) // 2)]) if len(given) else 0


def _asked_by_others(text: np.ndarray, label: np.ndarray) -> float:
    """Return the share of exchanges whose text at least two of the labels ask."""
    # uint64 throughout: mixed with signed numbers NumPy converts both to floats, which garbles hashes
    pairs = np.unique(np.stack([text, label.astype(np.uint64)]), axis=1)
    texts, askers = np.unique(pairs[0], return_counts=True)
    shared = texts[(askers > 1) & (texts != 0)]  # 0 means no text
    return float(np.isin(text, shared).mean()) if len(text) else 0.0


def share_instruments(known: AccountFacts | None, accounts: np.ndarray, tenant: np.ndarray) -> bool:
    """Return whether half of some accounts' tenants share a payment instrument with another of them.

    tenant: (accounts of the log,) the tenant of each. Colleagues sharing their firm's card do not count.
    """
    if known is None or len(accounts) == 0:
        return False
    payers: dict[str, set[int]] = {}
    for account in accounts.tolist():
        if known.payment[account]:
            payers.setdefault(known.payment[account], set()).add(int(tenant[account]))
    sharing = {member for members in payers.values() if len(members) > 1 for member in members}
    return len(sharing) >= SHARE_INSTRUMENT * len(np.unique(tenant[accounts]))


def _is_academic(domain: str) -> bool:
    """Return whether a domain is under a label that only institutions get.

    >>> [_is_academic(d) for d in ("mit.edu", "uni.ac.at", "x.edu.au", "edu-tools.com")]
    [True, True, True, False]
    """
    labels = domain.split(".")
    return labels[-1] in ACADEMIC or (len(labels) > 2 and labels[-2] in ACADEMIC)
