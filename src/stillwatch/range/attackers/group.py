"""A group of working accounts: what each sends in an hour, by the group's means.

Items come from one list shared by all groups: none is asked twice unless it was not answered.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from stillwatch.range.attackers import COMMONEST, QUEUES, Brief, Evasion, Try, TryResult
from stillwatch.range.attackers.rewording import Form, draw_model_form, word_request, wrapper
from stillwatch.range.identity import token
from stillwatch.range.market import HeldAccount, Market
from stillwatch.range.reactions import ReactionRules
from stillwatch.units import HOUR_US

AWAKE = 16  # hours of a day
# A burst is as fast as an account's output limit allows: 100,000 output tokens a minute on the lowest tier
# (docs of a large provider, October 2026), at about 9,000 per reasoning trace.
BURST_PER_HOUR = 600
REACTION = ReactionRules()


class QuestionQueue:
    """The questions without an answer so far."""

    def __init__(self, items: Sequence[str], goal: int, these: Iterable[int] | None = None) -> None:
        self.items, self.goal = items, goal
        self._open = deque(range(len(items)) if these is None else these)
        self.got: set[int] = set()
        self._parts: dict[int, QuestionQueue] = {}  # the reserved queue of a question

    def set_aside(self, these: Sequence[int]) -> "QuestionQueue":
        """Reserve these questions: return a queue, which alone hands them out from now on."""
        part = QuestionQueue(self.items, self.goal, these)
        part.got = self.got
        self._parts |= dict.fromkeys(these, part)
        self._open = deque(item for item in self._open if item not in self._parts)
        return part

    def take(self) -> int | None:
        return self._open.popleft() if self._open else None

    def back(self, item: int) -> None:
        """Put an unanswered item back."""
        if item in self._parts:
            self._parts[item].back(item)
        else:
            self._open.append(item)

    def saw(self, results: Iterable[TryResult]) -> None:
        for s in results:
            if s.item is None:
                continue
            if s.outcome == "answered":
                self.got.add(s.item)
            else:
                self.back(s.item)

    @property
    def enough(self) -> bool:
        return len(self.got) >= self.goal


class Talks:
    """Honest conversations for cover; when they are used up they start again."""

    def __init__(self, talks: Sequence[tuple[str, ...]], rng: np.random.Generator) -> None:
        self._talks = [talks[i] for i in rng.permutation(len(talks))]
        self._next = 0

    def next(self) -> tuple[str, ...]:
        talk = self._talks[self._next % len(self._talks)]
        self._next += 1
        return talk

    def __bool__(self) -> bool:
        return bool(self._talks)


class Crew:
    """Accounts that use the same means, with a common quota of examples."""

    def __init__(
        self,
        means: Evasion,
        quota: int,
        brief: Brief,
        market: Market,
        stock: QuestionQueue,
        talks: Talks,
        rng: np.random.Generator,
        queue: str = QUEUES[0],
    ) -> None:
        self.means, self.quota = means, quota
        self._queue = queue
        self._rests_until: dict[str, int] = {}  # accounts known to be refused
        self._postponed: set[int] = set()  # questions that wait for hours: others are asked instead
        self._brief, self._market, self._stock, self._talks, self._rng = brief, market, stock, talks, rng
        self._template = int(rng.integers(2**31))
        self._program = (
            market.program(None if means.client == COMMONEST else means.client, brief.wanted)
            if means.client
            else None
        )
        self._models: dict[str, str] = {}
        self._own: dict[str, Form] = {}
        self._wakes: dict[str, int] = {}
        self._burst: dict[str, int] = {}  # what an account still has to send at once
        self.working: dict[str, HeldAccount] = {}
        self.lost = 0
        self.sent = self.got = 0
        self.refused = 0
        self.bought = 0
        self._quiet_until_us = 0

    def enlist(self, at_us: int) -> None:
        """Buy accounts until the group is complete, or the money is spent."""
        if self.bought and not self.means.replace:
            return
        missing = self.means.accounts - len(self.working)
        if missing <= 0:
            return
        for account in self._market.buy(self.means.kind, missing, at_us, self._program):
            own = np.random.default_rng(account.voice)
            self.bought += 1
            self.working[account.name] = account
            voice = np.random.default_rng(self._template) if self.means.words == "group" else own
            self._own[account.name] = (draw_model_form if self.means.words == "model" else wrapper)(voice)
            self._wakes[account.name] = int(own.integers(24))
            self._burst[account.name] = round(self.means.per_account_day)
            decoy = own.random() < self.means.decoys
            self._models[account.name] = account.who.donor.model if decoy else self._brief.wanted
            if self.means.spread_model:
                self._models[account.name] = self._honest_model(account.voice)

    def _honest_model(self, voice: int) -> str:
        """Draw the model of an honest account; a user of the wanted model's successor gets the wanted one."""
        model = self._market.honest_account(voice).model
        return self._brief.wanted if model.startswith(self._brief.wanted) else model

    def hour(self, at_us: int) -> list[Try]:
        """Return the group's requests for this hour."""
        if self.is_finished or at_us < self._quiet_until_us:
            return []
        self.enlist(at_us)
        tries: list[Try] = []
        for account in list(self.working.values()):
            if self._rests_until.get(account.name, 0) >= at_us + HOUR_US:
                continue
            count = self._count(account, at_us)
            for at in self._moments(count, at_us):
                if self.sent >= self.quota and not self._decoy(account.name):
                    break
                one = self._ask(account, at)
                if one is None:
                    break
                tries.append(one)
                tries += self._cover(account, at_us)
        return tries

    def extend(self, quota: int) -> None:
        """Continue with the surviving accounts: this many examples more."""
        self.quota = self.got + quota
        self._burst = dict.fromkeys(self._burst, round(self.means.per_account_day))

    def _decoy(self, name: str) -> bool:
        return self._models[name] != self._brief.wanted

    def _count(self, account: HeldAccount, at_us: int) -> int:
        if self.means.hours == "burst":
            return min(self._burst[account.name], BURST_PER_HOUR)
        share = 1 / 24
        if self.means.hours == "human":
            clock = at_us // HOUR_US % 24
            share = 1 / AWAKE if (clock - self._wakes[account.name]) % 24 < AWAKE else 0.0
        return min(int(self._rng.poisson(self.means.per_account_day * share)), BURST_PER_HOUR)

    def _moments(self, count: int, at_us: int) -> list[int]:
        return [at_us + int(x) for x in np.sort(self._rng.integers(0, HOUR_US, count))]

    def _ask(self, account: HeldAccount, at_us: int) -> Try | None:
        item = self._stock.take()
        if item is None:
            return None
        question = self._stock.items[item]
        prompt = word_request(question, self.means.words, self._own[account.name], self._template, self._rng)
        if self._decoy(account.name):  # a worthless answer: another account asks again
            self._stock.back(item)
            return self._try(account, at_us, prompt, None)
        self.sent += 1
        self._burst[account.name] -= 1
        return self._try(account, at_us, prompt, item)

    def _try(
        self,
        account: HeldAccount,
        at_us: int,
        prompt: str,
        item: int | None,
        talk: str | None = None,
        turn: int = 1,
    ) -> Try:
        like = account.who.donor
        temperature, cap = like.temperature, like.max_tokens
        if self.means.spread_settings:  # drawn from another honest account than its other traits
            temperature, cap = self._market.settings(account.voice)
        if self.means.spread_model:
            like = self._market.honest_account(account.voice)
            temperature, cap = like.temperature, like.max_tokens
        return Try(
            account.name,
            at_us,
            prompt,
            self._program.system if self._program else None,
            self._models[account.name],
            temperature,
            cap,
            item,
            talk,
            turn,
            dropped=item is not None and self._rng.random() < self.means.drop,
            place=self.means.place if talk is None else "message",
            tools=self._program.tools if self._program else 0,
        )

    def _cover(self, account: HeldAccount, hour_us: int) -> list[Try]:
        if self.means.cover == 0 or not self._talks:
            return []
        due = int(self._rng.poisson(self.means.cover / (1 - self.means.cover)))
        tries: list[Try] = []
        while due > 0:
            talk, name = self._talks.next(), token(self._rng, 16)
            at = hour_us + int(self._rng.integers(HOUR_US))
            for turn, prompt in enumerate(talk[:due], start=1):
                if at < hour_us + HOUR_US:
                    tries.append(self._try(account, at, prompt, None, name, turn))
                at += int(self._rng.integers(30, 400)) * 1_000_000
            due -= len(talk)
        return tries

    def ping(self, at_us: int) -> list[Try]:
        """Send a word of honest conversation from each account, to see whether it is still alive."""
        if not self._talks:
            return []
        return [
            self._try(account, at_us + int(self._rng.integers(HOUR_US)), self._talks.next()[0], None)
            for account in self.working.values()
        ]

    def again(self, refused: Try, until_us: int) -> Try | None:
        """Return who asks a refused question again, and when; None: it goes back to the list, like cover."""
        if self._queue == "end" or refused.item is None:
            return None
        later = self._next_try(refused, until_us)
        if later.at_us > refused.at_us + HOUR_US and refused.item not in self._postponed:
            self._postponed.add(refused.item)
            self.sent -= 1
        return later

    def _next_try(self, refused: Try, until_us: int) -> Try:
        self._rests_until[refused.account] = max(until_us, self._rests_until.get(refused.account, 0))
        if self._queue == "own":
            return replace(refused, at_us=REACTION.moved_at_us(until_us, self._rng))
        then_us = REACTION.moved_at_us(refused.at_us, self._rng)
        others = [h for h in self.working.values() if h.name != refused.account and not self._decoy(h.name)]
        if not others:
            return replace(refused, at_us=max(then_us, until_us))
        ready = [account for account in others if self._rests_until.get(account.name, 0) <= then_us]
        if ready:
            account = ready[int(self._rng.integers(len(ready)))]
        else:  # the account that is served first
            account = min(others, key=lambda account: (self._rests_until[account.name], account.name))
            then_us = REACTION.moved_at_us(self._rests_until[account.name], self._rng)
        return self._try(account, then_us, refused.prompt, refused.item)

    def saw(self, results: Sequence[TryResult], at_us: int) -> None:
        """Receive the results of this group's requests; dead accounts are given up."""
        for s in results:
            if s.item in self._postponed:
                self._postponed.remove(s.item)
                self.sent += 1
            if s.item is not None and s.outcome == "answered":
                self.got += 1
            elif s.item is not None:
                self.sent -= 1
                self._burst[s.account] += 1  # still to be sent, if the account lives
            self.refused += s.outcome == "refused"
            if s.outcome in ("dead", "stripped") and self.working.pop(s.account, None) is not None:
                self.lost += 1
        if self.lost * 2 >= self.means.accounts and self.means.wait_days:
            self._quiet_until_us = at_us + int(self.means.wait_days * 24 * HOUR_US)
            self.lost = 0

    @property
    def losses(self) -> float:
        """Share of the accounts bought so far that were stopped."""
        return 1 - len(self.working) / self.bought if self.bought else 0.0

    @property
    def is_finished(self) -> bool:
        """Whether the quota is met, all accounts are stopped without replacement, or a burst is over."""
        if self.got >= self.quota or self._stock.enough:
            return True
        too_poor = self._market.budget.left_usd < self._market.prices.account(self.means.kind)
        if not self.bought:
            return too_poor
        if self.working:
            return self.means.hours == "burst" and not any(self._burst[n] > 0 for n in self.working)
        return not self.means.replace or too_poor
