#!/usr/bin/env python3
"""Variant worlds: honest people with real texts, topic-sticky pools, retries, disjoint populations.

    python benchmarks/selves.py collect --corpora ../shared/range/corpora --git DIR... --out people.parquet
    python benchmarks/selves.py world ../shared/range/dev-c OUT --people people.parquet --sticky 0.5 --retries
    python benchmarks/selves.py measure OUT [OUT ...]

`world` reads a world folder (exchanges.parquet, accounts.parquet, truth.parquet, truth_exchanges.parquet) and
writes the same files with the same schema. It copies scene.toml or world.json unchanged and adds variant.json
(the changes, with counts) and selves.parquet (account, person, source, prompts).

The variants hold texts that may not be redistributed. Only this script ships. These rules were written
before the first variant was generated, by an author who had not read the detector.

What is real
    The texts of `--people`, their order in time, their author and the names of the files that they touched:
    commit messages (authors.parquet of the range, and public git histories given with --git), entries of
    Debian changelogs by the person who signed or is named in brackets, prompts of chat users
    (benign.parquet). An author is a hashed e-mail address. Lines that name people (Signed-off-by and the
    like) are removed, because they would mark an account without being content.

What is made
    Who of these people holds which account, and that a commit message stands where a prompt of a client
    stood. Everything else of the world stays as its own author composed it: times, accounts, models,
    settings, system texts, wrappers, statuses. Only input_tokens follows the length of the new text.

--people FILE
    For honest accounts of CLIENT_KINDS. A word sequence of a prompt is wrapper, and stays, if its 3-word
    phrases (digits are equal to each other) are
      - in at least 5 % of the prompts of the product (kind and user agent), at least 5 accounts of it, and
        5 times as frequent there as in any other honest kind; or
      - in at least n / 2 + sqrt(n) of the account's own n distinct prompts; or
      - of the second sort in at least 5 accounts and 10 % of the accounts of the kind.
    A text that at least 10 accounts of the kind send word for word also stays: it goes round in public.
    The rest are slots, widened to whole words and paths. File paths in a slot become files of the person,
    each path always the same file. Single words and numbers stay. Every other slot is replaced with the
    person's next texts in time order. The same slot text in the same account becomes the same text again, so
    that repeats stay repeats.
    A person holds one account of a world, and needs as many texts as the account has distinct slots.
    Accounts choose in the order of CLIENT_KINDS, then of a keyed hash, among the 40 people with the fewest
    texts that are enough. Where nobody has enough, the composed text stays, and the share is recorded.

--sticky S
    For every campaign of two accounts or more. Its units (a conversation, or a single exchange) are clustered
    by content (TF-IDF without words of more than 30 % of the units, spherical k-means, --topics an account,
    three unless given). Topics that hold a share S of the units are sticky: each has one home account, and
    the units go there as far as it has places for units of that length. All other units are dealt at random.
    Places keep account, time, model, settings; only prompt and input_tokens move, and the system text where
    one account of the campaign has several.

--retries
    Every exchange with a status other than 200 is asked again, word for word, 20 seconds to 15 minutes later
    (log-normal, median 2 minutes): of a campaign, at another of its accounts (alone, at its own); of an
    honest account, at its own account, and in 0.8 % at another honest account of its kind. A retry at
    another account takes all client fields and settings of that account's nearest exchange. It is answered.
    If a world has no failure, 3 % of all exchanges fail first (two in three with 429, the rest with 500).

--disjoint SEED
    Keeps every campaign and half of the honest accounts, by a keyed hash. Seeds 2k and 2k + 1 are each
    other's complement, so that the two replicates share no honest account.
"""

import argparse
import gzip
import hashlib
import json
import re
import shutil
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from stillwatch.units import time_of

CLIENT_KINDS = (
    "agent_client",
    "plugin_byok",
    "ci_bot",
    "framework",
    "roleplay",
    "coding",
    "public_template",
    "new_template",
    "translation",
    "tool_app",
    "small_dev",
    "longform",
    "viral_prompt",
    "chat",
)
CHAT_KINDS = frozenset({"chat", "roleplay", "viral_prompt"})
CLIENT_COLUMNS = (
    "end_user", "client_ip", "asn", "user_agent", "operation", "model", "conversation", "turn", "system",
    "tools", "temperature", "top_p", "max_tokens", "n", "top_logprobs", "stream", "response_format",
)  # fmt: skip
MINUTE_US = 60_000_000
TOKEN = re.compile(r"\w+|[^\w\s]+")
PATH = re.compile(r"[\w.\-:]*(?:[/\\][\w.\-]+)+")
PATH_SIGN = re.compile(r"[\w./\\-]")
TRAILER = re.compile(r"^\s*(?:[\w-]+-by|cc|change-id|git-svn-id|reported|thanks|message-id|link)\b\s*:", re.I)


def keyed(*parts: object) -> int:
    """Return a 64-bit hash of the parts: the same on every machine."""
    return int.from_bytes(hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


# --- people ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One text of one person."""

    person: str
    source: str
    time: datetime
    text: str
    files: tuple[str, ...] = ()


PEOPLE_SCHEMA = pa.schema(
    [
        ("person", pa.string()),
        ("source", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("text", pa.string()),
        ("files", pa.list_(pa.string())),
    ]
)


def person_id(source: str, name: str) -> str:
    return f"{keyed('person', source, name.strip().lower()):016x}"


def clean(text: str) -> str:
    """Return the text without trailers that name people, at most 4,000 characters."""
    lines = [line.rstrip() for line in text.replace("\r", "").split("\n") if not TRAILER.match(line)]
    return "\n".join(lines).strip()[:4000]


def range_authors(corpora: Path) -> Iterator[Entry]:
    for row in pq.read_table(corpora / "authors.parquet").to_pylist():
        who = person_id("range", row["project"] + row["author"])
        yield Entry(who, "range authors", row["time"], clean(row["text"]), tuple(row["files"] or ()))


def chat_users(corpora: Path) -> Iterator[Entry]:
    columns = ["user_id", "ts", "messages"]
    for row in pq.read_table(corpora / "benign.parquet", columns=columns).to_pylist():
        if not row["user_id"]:
            continue
        stamp = float(row["ts"]) if row["ts"] is not None and row["ts"] == row["ts"] else 0.0
        for message in json.loads(row["messages"]):
            if message["role"] == "user":
                when = datetime.fromtimestamp(stamp, UTC)
                yield Entry(
                    person_id("chat", row["user_id"]), "chat users", when, clean(message["content"] or "")
                )


def debian_entries(doc: Path) -> Iterator[Entry]:
    """Yield each change of every Debian changelog under `doc`, by its author."""
    for path in sorted(doc.glob("*/changelog.Debian.gz")):
        package = path.parent.name
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as stream:
            yield from debian_changelog(package, stream)


def debian_changelog(package: str, lines: Iterable[str]) -> Iterator[Entry]:
    changes: list[tuple[str | None, list[str]]] = []
    named: str | None = None
    for line in lines:
        if match := re.match(r"\s+\[ (.+?) \]\s*$", line):
            named = match[1]
        elif re.match(r"\s+\* ", line):
            changes.append((named, [line.split("*", 1)[1].strip()]))
        elif match := re.match(r" -- (.+?) <[^>]*>\s+(.+)$", line):
            try:
                when = parsedate_to_datetime(match[2].strip())
            except ValueError:
                when = None
            if when is not None and when.tzinfo is not None:
                for who, parts in changes:
                    text = clean("\n".join(parts))
                    files = tuple(dict.fromkeys(PATH.findall(text)))[:6] or (f"{package}/debian/changelog",)
                    yield Entry(person_id("debian", who or match[1]), "debian changelogs", when, text, files)
            changes, named = [], None
        elif changes and line.startswith("    ") and line.strip():
            changes[-1][1].append(line.strip())


def git_entries(log: Path) -> Iterator[Entry]:
    r"""Commits of `git log --no-merges --format='%x01%ae%x02%at%x02%B%x02' --name-only` in a file."""
    for record in log.read_text(encoding="utf-8", errors="replace").split("\x01")[1:]:
        fields = record.split("\x02")
        if len(fields) != 4 or not fields[1].isdigit() or "[bot]" in fields[0]:
            continue
        when = datetime.fromtimestamp(int(fields[1]), UTC)
        files = tuple(fields[3].split("\n"))
        names = tuple(name for name in files if name)[:12]
        yield Entry(person_id(log.stem, fields[0]), f"git {log.stem}", when, clean(fields[2]), names)


def collect(entries: Iterable[Entry], most: int = 600) -> pa.Table:
    """Every person's distinct texts of 15 characters or more, in time order, at most `most` in a row."""
    by_person: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if len(entry.text) >= 15:
            by_person[entry.person].append(entry)
    rows: list[Entry] = []
    for person, own in sorted(by_person.items()):
        own.sort(key=lambda entry: entry.time)
        distinct = list({entry.text: entry for entry in reversed(own)}.values())[::-1]
        start = keyed("start", person) % max(1, len(distinct) - most + 1)
        rows.extend(distinct[start : start + most])
    columns = [
        [entry.person for entry in rows],
        [entry.source for entry in rows],
        [entry.time for entry in rows],
        [entry.text for entry in rows],
        [list(entry.files) for entry in rows],
    ]
    return pa.table(columns, schema=PEOPLE_SCHEMA)


@dataclass
class Person:
    """A person's texts and files, handed out in time order."""

    person: str
    source: str
    texts: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    used: int = 0

    def next_text(self, length: int, texts: int) -> str:
        """Return the next texts, joined, until `length` characters or `texts` of them."""
        parts = [self.texts[self.used]]
        self.used += 1
        while len(parts) < texts and sum(map(len, parts)) < length and self.used < len(self.texts):
            parts.append(self.texts[self.used])
            self.used += 1
        return "\n".join(parts)


def read_people(path: Path) -> list[Person]:
    people: dict[str, Person] = {}
    table = pq.read_table(path, columns=["person", "source", "text", "files"])
    for row in table.to_pylist():
        one = people.setdefault(row["person"], Person(row["person"], row["source"]))
        one.texts.append(row["text"])
        one.files.extend(row["files"] or ())
    for one in people.values():
        one.files = list(dict.fromkeys(one.files))
    return list(people.values())


def match_people(needs: Sequence[tuple[str, str, int]], people: Sequence[Person]) -> dict[str, Person]:
    """Return a person with enough texts for each (account, kind, texts needed), in order; nobody twice."""
    pools: dict[bool, list[tuple[int, int, Person]]] = {True: [], False: []}
    for one in people:
        pools[one.source == "chat users"].append((len(one.texts), keyed("pool", one.person), one))
    for pool in pools.values():
        pool.sort(key=lambda item: item[:2])
    chosen: dict[str, Person] = {}
    for account, kind, need in needs:
        order = (True, False) if kind in CHAT_KINDS else (False,)
        for pool in (pools[chat] for chat in order):
            first = bisect_left(pool, need, key=lambda item: item[0])
            width = min(40, len(pool) - first)
            if need and width > 0:
                chosen[account] = pool.pop(first + keyed("choice", account) % width)[2]
                break
    return chosen


# --- slots -----------------------------------------------------------------------------------------------


def spans(prompt: str) -> list[tuple[int, int]]:
    """Return the positions of a prompt's words and signs: the first 300 and the last 150."""
    found = [match.span() for match in TOKEN.finditer(prompt)]
    return found if len(found) <= 450 else found[:300] + found[-150:]


class Phrases:
    """3-word phrases as numbers."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}

    def of(self, prompt: str, places: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return the phrase that begins at each place: (places - 2,)."""
        words = self._words
        ids = np.fromiter(
            (
                words.setdefault("0" if (word := prompt[a:b]).isdigit() else word, len(words))
                for a, b in places
            ),
            np.uint64,
            len(places),
        )
        if len(ids) < 3:
            return np.empty(0, np.uint64)
        first, second, third = ids[:-2], ids[1:-1], ids[2:]
        return (first * np.uint64(0x9E3779B97F4A7C15) + second) * np.uint64(0xC2B2AE3D27D4EB4F) + third


def phrase_counts(sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if not sets:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.unique(np.concatenate(sets), return_counts=True)


@dataclass(frozen=True)
class Exchange:
    """The data about an honest exchange for the search for wrappers."""

    row: int
    account: str
    kind: str
    product: str
    prompt: str


def wrappers(exchanges: Sequence[Exchange], kinds: Iterable[str], phrases: Phrases) -> dict[str, np.ndarray]:
    """Return each account's wrapper phrases, sorted: the rule is in the module's docstring."""
    by_kind: dict[str, list[Exchange]] = defaultdict(list)
    for one in exchanges:
        by_kind[one.kind].append(one)
    wanted = [kind for kind in kinds if kind in by_kind]
    sets: dict[int, np.ndarray] = {}
    rates: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for kind, own in by_kind.items():
        sample = own if kind in wanted else sorted(own, key=lambda one: keyed("rate", one.row))[:2000]
        for one in sample:
            sets[one.row] = np.unique(phrases.of(one.prompt, spans(one.prompt)))
        ids, counts = phrase_counts([sets[one.row] for one in sample])
        rates[kind] = ids, counts / len(sample)
    result: dict[str, np.ndarray] = {}
    for kind in wanted:
        own = by_kind[kind]
        products: dict[str, list[Exchange]] = defaultdict(list)
        accounts: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
        for one in own:
            products[one.product].append(one)
            accounts[one.account][one.prompt] = sets[one.row]
        shared = np.empty(0, np.uint64)
        for members in products.values():
            shared = np.union1d(shared, product_wrapper(members, sets, kind, rates))
        half: dict[str, np.ndarray] = {}
        for account, texts in accounts.items():
            ids, counts = phrase_counts(list(texts.values()))
            half[account] = ids[counts >= len(texts) / 2 + len(texts) ** 0.5]
        ids, counts = phrase_counts(list(half.values()))
        shared = np.union1d(shared, ids[counts >= max(5, 0.1 * len(accounts))])
        for account in accounts:
            result[account] = np.union1d(shared, half[account])
    return result


def product_wrapper(
    members: Sequence[Exchange],
    sets: dict[int, np.ndarray],
    kind: str,
    rates: dict[str, tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Phrases of 5 % of the product's prompts, of 5 accounts, and five times rarer in other kinds."""
    ids, counts = phrase_counts([sets[one.row] for one in members])
    common = counts >= 0.05 * len(members)
    ids, share = ids[common], counts[common] / len(members)
    by_account: dict[str, list[np.ndarray]] = defaultdict(list)
    for one in members:
        by_account[one.account].append(np.intersect1d(sets[one.row], ids, assume_unique=True))
    seen, holders = phrase_counts([np.unique(np.concatenate(own)) for own in by_account.values()])
    elsewhere = np.zeros(len(ids))
    for other, (known, rate) in rates.items():
        if other != kind and len(known):
            at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            elsewhere = np.maximum(elsewhere, np.where(known[at] == ids, rate[at], 0.0))
    held = holders[np.searchsorted(seen, ids)] if len(ids) else holders
    return ids[(held >= 5) & (share >= 5 * elsewhere)]


def slots(prompt: str, wrapper: np.ndarray, phrases: Phrases) -> list[tuple[int, int]]:
    """Return the positions of a prompt's variable parts, each widened to whole words and file paths."""
    places = spans(prompt)
    fixed = np.zeros(len(places), bool)
    starts = np.flatnonzero(np.isin(phrases.of(prompt, places), wrapper))
    for step in range(3):
        fixed[starts + step] = True
    result: list[tuple[int, int]] = []
    for at, (begin, end) in enumerate(places):
        if fixed[at]:
            continue
        if result and at and not fixed[at - 1]:
            result[-1] = (result[-1][0], end)
        else:
            result.append((begin, end))
    return widened(prompt, result)


def widened(prompt: str, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for begin, end in places:
        last = result[-1][1] if result else 0
        if begin < last:
            begin = last
        while begin > last and PATH_SIGN.match(prompt[begin - 1]):
            begin -= 1
        while end < len(prompt) and PATH_SIGN.match(prompt[end]):
            end += 1
        if end > begin:
            result.append((begin, end))
    return result


def slot_kind(text: str) -> str:
    """`text`, `path` or `word` (which stays)."""
    if PATH.search(text) and len(re.findall(r"[^\W\d_]{2,}", PATH.sub(" ", text))) < 3:
        return "path"
    return "text" if len(re.findall(r"[^\W\d_]+", text)) >= 3 or len(text) > 60 else "word"


@dataclass
class Replacement:
    prompts: list[str]
    input_tokens: list[int]
    selves: list[dict[str, object]]
    report: dict[str, object]


def give_selves(table: pa.Table, truth: dict[str, dict], people: Sequence[Person]) -> Replacement:
    """Replace the slots of the honest client accounts with the texts of one person each."""
    prompts = table["prompt"].to_pylist()
    accounts = table["account"].to_pylist()
    products = table["user_agent"].to_pylist()
    honest = [
        Exchange(row, account, truth[account]["kind"], str(products[row]), prompts[row] or "")
        for row, account in enumerate(accounts)
        if truth[account]["campaign"] is None
    ]
    phrases = Phrases()
    frame = wrappers(honest, CLIENT_KINDS, phrases)
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in honest:
        holders[one.kind, one.prompt].add(one.account)
    pieces: dict[int, list[tuple[int, int]]] = {}
    originals: dict[str, dict[str, None]] = defaultdict(dict)
    kinds: dict[str, str] = {}
    for one in honest:
        if one.account not in frame:
            continue
        kinds[one.account] = one.kind
        if len(holders[one.kind, one.prompt]) >= 10:
            continue
        pieces[one.row] = slots(one.prompt, frame[one.account], phrases)
        for begin, end in pieces[one.row]:
            if slot_kind(one.prompt[begin:end]) == "text":
                originals[one.account][one.prompt[begin:end]] = None
    rank = {kind: at for at, kind in enumerate(CLIENT_KINDS)}
    needs = [(account, kind, len(originals[account])) for account, kind in kinds.items()]
    needs.sort(key=lambda item: (rank[item[1]], keyed("order", item[0])))
    chosen = match_people(needs, people)
    tokens = table["input_tokens"].to_pylist()
    known: dict[tuple[str, str], str] = {}
    slot_texts: dict[str, list[str]] = defaultdict(list)
    for one in honest:  # in time order: the tables are sorted by time
        person = chosen.get(one.account)
        if person is None or one.row not in pieces:
            continue
        each = max(1, min(4, len(person.texts) // max(1, len(originals[one.account]))))
        parts, last = [], 0
        for begin, end in pieces[one.row]:
            text = one.prompt[begin:end]
            parts += [one.prompt[last:begin], replace_slot(one.account, text, person, known, each)]
            last = end
            if slot_kind(text) == "text":
                slot_texts[one.account].append(parts[-1])
        prompts[one.row] = "".join([*parts, one.prompt[last:]])
        tokens[one.row] = max(1, tokens[one.row] + (len(prompts[one.row]) - len(one.prompt)) // 4)
    rows = Counter(one.account for one in honest)
    selves: list[dict[str, object]] = [
        {
            "account": account,
            "kind": kinds[account],
            "person": person.person,
            "source": person.source,
            "exchanges": rows[account],
            "texts": slot_texts[account],
        }
        for account, person in chosen.items()
    ]
    return Replacement(prompts, tokens, selves, people_report(kinds, originals, chosen, rows))


def replace_slot(
    account: str, text: str, person: Person, known: dict[tuple[str, str], str], each: int
) -> str:
    """Return the person's text or file in place of a slot; the same slot gets the same text again."""
    kind = slot_kind(text)
    if kind == "word":
        return text
    if kind == "text":
        if (account, text) not in known:
            known[account, text] = person.next_text(min(len(text), 600), each)
        return known[account, text]

    def other(match: re.Match[str]) -> str:
        key = (account, "path " + match[0])
        if key not in known and person.files:
            known[key] = person.files[keyed("file", *key) % len(person.files)]
        return known.get(key, match[0])

    return PATH.sub(other, text)


def people_report(
    kinds: dict[str, str],
    originals: dict[str, dict[str, None]],
    chosen: dict[str, Person],
    rows: Counter[str],
) -> dict[str, object]:
    report: dict[str, object] = {}
    for kind in dict.fromkeys(kinds.values()):
        own = [account for account in kinds if kinds[account] == kind]
        with_slot = [account for account in own if originals[account]]
        real = [account for account in own if account in chosen]
        report[kind] = {
            "accounts": len(own),
            "with_a_slot": len(with_slot),
            "with_a_real_person": len(real),
            "share": round(len(real) / len(own), 3),
            "share_of_exchanges": round(sum(rows[a] for a in real) / sum(rows[a] for a in own), 3),
        }
    persons = {person.person for person in chosen.values()}
    sources = Counter(person.source for person in chosen.values())
    return {
        "kinds": report,
        "accounts": len(kinds),
        "with_a_real_person": len(chosen),
        "share": round(len(chosen) / max(1, len(kinds)), 3),
        "persons": len(persons),
        "sources": dict(sources.most_common()),
    }


# --- content ---------------------------------------------------------------------------------------------


def tfidf(texts: Sequence[str], most: float = 0.3) -> sparse.csr_matrix:
    """Return unit-length rows over the words in at least two texts and at most a share `most` of them."""
    vocabulary: dict[str, int] = {}
    indptr, indices, data = [0], [], []
    for text in texts:
        for word, count in Counter(re.findall(r"[^\W\d_]{2,}", text.lower())).items():
            indices.append(vocabulary.setdefault(word, len(vocabulary)))
            data.append(1.0 + np.log(count))
        indptr.append(len(indices))
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(texts), max(1, len(vocabulary))))
    frequency = np.bincount(matrix.indices, minlength=matrix.shape[1])
    keep = (frequency >= 2) & (frequency <= max(2.0, most * len(texts)))
    matrix = matrix[:, np.flatnonzero(keep)]
    matrix = matrix @ sparse.diags(np.log(len(texts) / frequency[keep]) + 1.0)
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / np.where(norm > 0, norm, 1.0)) @ matrix)


def cluster(matrix: sparse.csr_matrix, count: int, rng: np.random.Generator, rounds: int = 15) -> np.ndarray:
    """Run spherical k-means; return the topic of each row."""
    count = min(count, matrix.shape[0])
    centres = matrix[rng.choice(matrix.shape[0], count, replace=False)].toarray()
    topics = np.zeros(matrix.shape[0], int)
    for _ in range(rounds):
        topics = np.asarray(matrix @ centres.T).argmax(axis=1)
        members = sparse.csr_matrix(
            (np.ones(len(topics)), (topics, np.arange(len(topics)))), shape=(count, len(topics))
        )
        sums = np.asarray((members @ matrix).todense())
        norm = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norm > 0, sums / np.where(norm > 0, norm, 1.0), centres)
    return topics


def cling(texts: Sequence[str], accounts: Sequence[str], groups: Sequence[str]) -> tuple[float, float]:
    """Return the mean cosine of different texts of one account, and of different accounts of one group."""
    matrix = tfidf(texts)
    within = across = 0.0
    within_pairs = across_pairs = 0
    group_of = np.array(groups)
    for group in dict.fromkeys(groups):
        rows = np.flatnonzero(group_of == group)
        own = matrix[rows]
        names = {name: at for at, name in enumerate(dict.fromkeys(accounts[row] for row in rows))}
        label = np.array([names[accounts[row]] for row in rows])
        sizes = np.bincount(label, minlength=len(names))
        members = sparse.csr_matrix(
            (np.ones(len(rows)), (label, np.arange(len(rows)))), shape=(len(names), len(rows))
        )
        sums = sparse.csr_matrix(members @ own)
        self_similarity = np.asarray(own.multiply(own).sum(axis=1)).ravel()
        per_account = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
        total = np.asarray(own.sum(axis=0)).ravel()
        within += per_account.sum() - self_similarity.sum()
        within_pairs += int((sizes * (sizes - 1)).sum())
        across += float(total @ total) - per_account.sum()
        across_pairs += int(len(rows) ** 2 - (sizes**2).sum())
    return within / max(1, within_pairs), across / max(1, across_pairs)


# --- sticky pools ----------------------------------------------------------------------------------------


def make_sticky(
    table: pa.Table, campaigns: dict[int, str], share: float, each: int, seed: int
) -> tuple[pa.Table, dict]:
    """Redistribute each campaign's texts: `each` topics per account, a share `share` of the units sticks."""
    accounts = table["account"].to_pylist()
    conversations = table["conversation"].to_pylist()
    prompts, systems = table["prompt"].to_pylist(), table["system"].to_pylist()
    source, system_source = np.arange(table.num_rows), np.arange(table.num_rows)
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, campaign in campaigns.items():
        rows_of[campaign].append(row)
    report: dict[str, dict] = {}
    for campaign, rows in sorted(rows_of.items()):
        names = sorted({accounts[row] for row in rows})
        if len(names) < 2:
            continue
        rng = np.random.default_rng([seed, keyed(campaign) % 2**32])
        units: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in sorted(rows):
            units[accounts[row], conversations[row] or f"row {row}"].append(row)
        places = list(units.values())
        texts = ["\n".join(prompts[row] or "" for row in unit) for unit in places]
        topics = cluster(tfidf(texts), each * len(names), rng)
        assigned = deal(places, [accounts[unit[0]] for unit in places], topics, share, rng)
        for place, unit in assigned:
            source[places[place]] = places[unit]
        if len({(accounts[row], systems[row]) for row in rows}) > len(names):
            system_source[rows] = source[rows]
        homes = defaultdict(Counter)
        for place, unit in assigned:
            homes[topics[unit]][accounts[places[place][0]]] += 1
        top = sum(max(counts.values()) for counts in homes.values())
        report[campaign] = {
            "accounts": len(names),
            "units": len(places),
            "topics": int(topics.max()) + 1,
            "at_the_commonest_account_of_their_topic": round(top / len(places), 3),
        }
    for column, order in (("prompt", source), ("input_tokens", source), ("system", system_source)):
        at = table.schema.get_field_index(column)
        table = table.set_column(at, table.schema.field(column), table[column].take(pa.array(order)))
    return table, report


def deal(
    units: Sequence[Sequence[int]],
    owners: Sequence[str],
    topics: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Pairs (place, unit): every place gets one unit of its own length."""
    free: dict[tuple[str, int], list[int]] = defaultdict(list)
    capacity: Counter[str] = Counter()
    for place, unit in enumerate(units):
        free[owners[place], len(unit)].append(place)
        capacity[owners[place]] += 1
    for places in free.values():
        rng.shuffle(places)
    order = rng.permutation(int(topics.max()) + 1)
    sizes = np.bincount(topics, minlength=len(order))
    sticky = order[np.concatenate([[0], np.cumsum(sizes[order])[:-1]]) < share * len(units)]
    pairs: list[tuple[int, int]] = []
    left = set(range(len(units)))
    for topic in sorted(sticky.tolist(), key=lambda topic: -sizes[topic]):
        home = max(capacity, key=lambda name: (capacity[name], name))
        for unit in np.flatnonzero(topics == topic).tolist():
            if places := free[home, len(units[unit])]:
                pairs.append((places.pop(), unit))
                left.discard(unit)
                capacity[home] -= 1
    rest_places: dict[int, list[int]] = defaultdict(list)
    for (_, length), places in sorted(free.items()):
        rest_places[length].extend(places)
    for length, places in rest_places.items():
        rest = [unit for unit in sorted(left) if len(units[unit]) == length]
        pairs.extend(zip(places, rng.permutation(rest).astype(int).tolist(), strict=True))
    return pairs


# --- retries ---------------------------------------------------------------------------------------------


def fail_some(table: pa.Table, rng: np.random.Generator, share: float = 0.03) -> pa.Table:
    """Let a share of all exchanges fail, two in three with 429, the rest with 500."""
    status = table["status"].to_numpy().copy()
    output = table["output_tokens"].to_numpy().copy()
    failed = rng.random(len(status)) < share
    status[failed] = np.where(rng.random(int(failed.sum())) < 2 / 3, 429, 500)
    output[failed] = 0
    for name, values in (("status", status), ("output_tokens", output)):
        at = table.schema.get_field_index(name)
        table = table.set_column(
            at, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )
    return table


def add_retries(
    table: pa.Table, campaigns: dict[int, str], truth: dict[str, dict], seed: int
) -> tuple[pa.Table, list[tuple[str, str]], dict]:
    """Return the table with retries, sorted by time; (exchange_id, campaign) of the new rows; counts."""
    rng = np.random.default_rng([seed, 3])
    if (table["status"].to_numpy() == 200).all():
        table = fail_some(table, rng)
    status = table["status"].to_numpy()
    accounts = table["account"].to_pylist()
    times = table["time"].cast(pa.int64()).to_numpy()
    identifiers = table["exchange_id"].to_pylist()
    answered: dict[str, list[int]] = defaultdict(list)
    pools: dict[str, set[str]] = defaultdict(set)
    for row, account in enumerate(accounts):
        if status[row] == 200:
            answered[account].append(row)
    for row, campaign in campaigns.items():
        pools[campaign].add(accounts[row])
    for account in answered:
        if truth[account]["campaign"] is None:
            pools[truth[account]["kind"]].add(account)
    new: list[dict] = []
    labels: list[tuple[str, str]] = []
    counts: Counter[str] = Counter()
    last = int(times.max())
    for row in np.flatnonzero(status != 200).tolist():
        own, campaign = accounts[row], campaigns.get(row)
        delay = float(np.clip(rng.lognormal(np.log(2.0), 0.9), 1 / 3, 15.0))
        when = int(times[row] + delay * MINUTE_US)
        away = rng.random() < 0.008 if campaign is None else True
        others = sorted(pools[campaign or truth[own]["kind"]] - {own})
        account = others[int(rng.integers(len(others)))] if away and others else own
        if when > last or not answered.get(account):
            counts["not asked again: the log ends, or the account has no answered exchange"] += 1
            continue
        at = min(np.searchsorted(times[answered[account]], when), len(answered[account]) - 1)
        near = answered[account][int(at)]
        record = table.slice(row, 1).to_pylist()[0]
        model = table.slice(near, 1).to_pylist()[0]
        names = CLIENT_COLUMNS if account != own else ()
        record |= {name: model[name] for name in names if name in model}
        record |= {name: model[name] for name in ("output_tokens", "reasoning_tokens", "finish_reason")}
        record |= {"latency_ms": model["latency_ms"], "status": 200, "account": account}
        key = keyed("retry", identifiers[row])
        digits = f"{key:016x}{keyed(key):016x}"
        record["exchange_id"] = "req_" + digits[: len(identifiers[row]) - len("req_")]
        record["time"] = time_of(when)
        new.append(record)
        if campaign is not None:
            labels.append((record["exchange_id"], campaign))
        who = "campaign" if campaign is not None else "honest"
        counts[f"{who}, at {'its own' if account == own else 'another'} account"] += 1
    added = pa.Table.from_pylist(new, schema=table.schema) if new else table.slice(0, 0)
    return pa.concat_tables([table, added]).sort_by("time"), labels, dict(counts)


# --- worlds ----------------------------------------------------------------------------------------------


@dataclass
class World:
    folder: Path
    exchanges: pa.Table
    accounts: pa.Table
    truth: pa.Table
    labels: pa.Table

    @classmethod
    def read(cls, folder: Path) -> "World":
        for name in ("exchanges", "accounts", "truth", "truth_exchanges"):
            if not (folder / f"{name}.parquet").exists():
                raise SystemExit(f"{folder} is no world: it has no {name}.parquet")
        tables = [
            pq.read_table(folder / f"{n}.parquet")
            for n in ("exchanges", "accounts", "truth", "truth_exchanges")
        ]
        return cls(folder, *tables)

    def campaign_rows(self) -> dict[int, str]:
        """Return the campaign of each exchange row that belongs to one."""
        of = dict(
            zip(self.labels["exchange_id"].to_pylist(), self.labels["campaign"].to_pylist(), strict=True)
        )
        return {
            row: of[name] for row, name in enumerate(self.exchanges["exchange_id"].to_pylist()) if name in of
        }

    def truth_of(self) -> dict[str, dict]:
        return {row["account"]: row for row in self.truth.to_pylist()}

    def write(self, out: Path, variant: dict, selves: Sequence[dict]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("exchanges", "accounts", "truth"):
            pq.write_table(getattr(self, name), out / f"{name}.parquet", compression="zstd")
        pq.write_table(self.labels, out / "truth_exchanges.parquet", compression="zstd")
        for name in ("world.json", "scene.toml", "selves.parquet"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, out / name)
        if selves:
            pq.write_table(pa.Table.from_pylist(list(selves)), out / "selves.parquet", compression="zstd")
        (out / "variant.json").write_text(json.dumps(variant, indent=1) + "\n")


def keep_half(world: World, seed: int) -> dict:
    """Keep the campaigns and one half of the honest accounts."""
    truth = world.truth_of()
    kept = {
        account
        for account, row in truth.items()
        if row["campaign"] is not None or (keyed("half", seed // 2, account) ^ seed) & 1 == 0
    }
    for name in ("exchanges", "accounts", "truth"):
        table = getattr(world, name)
        setattr(world, name, table.filter(pa.array([a in kept for a in table["account"].to_pylist()])))
    return {"seed": seed, "accounts": len(kept), "of": len(truth)}


def make_variant(world: World, options: argparse.Namespace) -> tuple[dict, list[dict]]:
    """Change the world in place; return the changes, and which person is which account."""
    variant: dict = {"from": world.folder.name, "seed": options.seed}
    if (world.folder / "variant.json").exists():
        variant["before"] = json.loads((world.folder / "variant.json").read_text())
    selves: list[dict] = []
    world.exchanges = world.exchanges.sort_by("time")
    if options.disjoint is not None:
        variant["disjoint"] = keep_half(world, options.disjoint)
    if options.people is not None:
        done = give_selves(world.exchanges, world.truth_of(), read_people(options.people))
        for name, values in (("prompt", done.prompts), ("input_tokens", done.input_tokens)):
            at = world.exchanges.schema.get_field_index(name)
            kind = world.exchanges.schema.field(name)
            world.exchanges = world.exchanges.set_column(at, kind, pa.array(values, kind.type))
        variant["people"], selves = done.report, done.selves
    if options.sticky is not None:
        world.exchanges, report = make_sticky(
            world.exchanges, world.campaign_rows(), options.sticky, options.topics, options.seed
        )
        variant["sticky"] = {
            "share": options.sticky,
            "topics_an_account": options.topics,
            "campaigns": report,
        }
    if options.retries:
        world.exchanges, labels, counts = add_retries(
            world.exchanges, world.campaign_rows(), world.truth_of(), options.seed
        )
        if labels:
            added = pa.table(
                {
                    "exchange_id": [name for name, _ in labels],
                    "campaign": [campaign for _, campaign in labels],
                }
            )
            world.labels = pa.concat_tables([world.labels, added.cast(world.labels.schema)])
        variant["retries"] = counts
    return variant, selves


def measure(folder: Path) -> dict:
    """Measure how specific content is to an account: of real people, other honest accounts, campaigns."""
    world = World.read(folder)
    result: dict = {"world": folder.name}
    products = dict(
        zip(world.exchanges["account"].to_pylist(), world.exchanges["user_agent"].to_pylist(), strict=True)
    )
    if (folder / "selves.parquet").exists():
        by_kind: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for row in pq.read_table(folder / "selves.parquet").to_pylist():
            for text in dict.fromkeys(row["texts"]):
                by_kind[row["kind"]].append(
                    (text, row["account"], f"{row['kind']} {products[row['account']]}")
                )
        result["people"] = {
            kind: [round(value, 4) for value in cling(*zip(*rows, strict=True))]
            for kind, rows in by_kind.items()
            if len(rows) > 20
        }
    prompts, owners = world.exchanges["prompt"].to_pylist(), world.exchanges["account"].to_pylist()
    by_campaign: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for row, campaign in world.campaign_rows().items():
        by_campaign[campaign][prompts[row] or "", owners[row]] = None
    result["campaigns"] = {
        campaign: [
            round(v, 4) for v in cling([t for t, _ in rows], [a for _, a in rows], [campaign] * len(rows))
        ]
        for campaign, rows in sorted(by_campaign.items())
        if len({account for _, account in rows}) > 1
    }
    return result


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        description="Write variant worlds with real people, sticky pools, retries or half of the people.",
        epilog="example: python benchmarks/selves.py world ../shared/range/dev-c /tmp/dev-c-people "
        "--people /tmp/people.parquet",
    )
    commands = top.add_subparsers(dest="command", required=True)
    people = commands.add_parser("collect", help="collect real people and their texts into one file")
    people.add_argument("--corpora", type=Path, help="folder with authors.parquet and benign.parquet")
    people.add_argument(
        "--doc", type=Path, default=Path("/usr/share/doc"), help="folder of Debian changelogs"
    )
    people.add_argument("--git", type=Path, nargs="*", default=[], help="logs of git (see git_entries)")
    people.add_argument("--out", type=Path, required=True)
    world = commands.add_parser("world", help="write a variant of a world folder")
    world.add_argument("world", type=Path)
    world.add_argument("out", type=Path)
    world.add_argument("--people", type=Path, metavar="FILE", help="what `collect` wrote")
    world.add_argument("--sticky", type=float, metavar="S", help="share of a pool's texts whose topic sticks")
    world.add_argument("--topics", type=int, default=3, metavar="N", help="topics an account, for --sticky")
    world.add_argument("--retries", action="store_true", help="ask again what failed")
    world.add_argument("--disjoint", type=int, metavar="SEED", help="keep half of the honest accounts")
    world.add_argument("--seed", type=int, default=1)
    figures = commands.add_parser("measure", help="print how much content clings to accounts")
    figures.add_argument("worlds", type=Path, nargs="+")
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.command == "collect":
        entries = list(debian_entries(options.doc))
        if options.corpora:
            entries += [*range_authors(options.corpora), *chat_users(options.corpora)]
        for log in options.git:
            entries += git_entries(log)
        table = collect(entries)
        pq.write_table(table, options.out, compression="zstd")
        print(
            f"{table.num_rows:,} texts of {len(set(table['person'].to_pylist())):,} people -> {options.out}"
        )
    elif options.command == "world":
        if options.sticky is not None and not 0 <= options.sticky <= 1:
            raise SystemExit(f"--sticky {options.sticky}: a share between 0 and 1 is needed")
        world = World.read(options.world)
        variant, selves = make_variant(world, options)
        world.write(options.out, variant, selves)
        print(json.dumps(variant, indent=1))
    else:
        for folder in options.worlds:
            print(json.dumps(measure(folder)))


if __name__ == "__main__":
    sys.exit(main())
