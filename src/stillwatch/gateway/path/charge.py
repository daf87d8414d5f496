"""What one request may bring, and what it costs its account: reserved, charged in advance, charged, settled.

It counts in the `budgets` of all workers; what is too much is decided in `terms.limiter`.
"""

import dataclasses

from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.path.batch import LaterAnswer
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.reply import ReplyFacts
from stillwatch.gateway.path.request import Facts
from stillwatch.gateway.path.server import Request
from stillwatch.terms import AccountUsage, FleetUsage
from stillwatch.terms.limiter import most_of_set

_INPUT_TOKENS, _OUTPUT_TOKENS = PLACE["input_tokens"], PLACE["output_tokens"]


class Charge:
    """The charge of one exchange."""

    charged = 0  # output tokens so far, before the reply has reported its usage
    spent_before = 0  # in the day, at the time of the decision
    _place = 0  # row of the account in the budgets: looked up when there is something to count
    _promised = 0  # output tokens that a batch which it starts may produce
    held = 0  # output tokens that its answer may still bring: reserved until it has come
    sets: tuple[int, ...] = ()  # of models that may answer and that are counted apart: reserved there, too

    def __init__(self, gate: Gate, account: str, number: int | None, facts: Facts, began_us: int) -> None:
        self._gate, self._account, self._number = gate, account, number
        self._facts, self._began_us = facts, began_us
        self._asked = facts.models[0] if facts.models else ""
        self.model = self._asked  # the one that answers: its set is charged

    # --- before it goes upstream -----------------------------------------------------------------------

    def hold(self, batch: int) -> tuple[AccountUsage, int | None]:
        """Reserve what this request may bring, then read what all others have used and reserved.

        In this order: of two workers that do so at once, at least one sees the other's reservation. Also
        returns the account's daily limit for the requested models: that of the set with the least left.
        """
        gate, facts, now = self._gate, self._facts, self._began_us
        budgets, limits = gate.budgets, gate.terms.limits
        place = self._place = budgets.place(self._account, self._number)
        if facts.does in ("generates", "unknown"):
            self.held = self.answer_tokens() * facts.answers
            self.sets = self._sets_of(facts.models)
            budgets.hold(place, self.held, self.sets)
        elif facts.batch is not None and facts.batch.begins:
            asked = gate.notes.models(self._account, facts.batch)
            self.sets = self._sets_of((*facts.models, *asked))
        if batch:
            self._promised = batch
            budgets.add_batch(place, now, batch, self.sets)
        slides = limits.slides
        known = budgets.known_counts(place)
        spent = budgets.spent(place, now, sliding=slides)
        spent = dataclasses.replace(
            spent,
            tokens_held=spent.tokens_held - self.held,
            batch_tokens_day=spent.batch_tokens_day - self._promised,
            batch_blocks=_less(spent.batch_blocks, self._promised),
            settles_s=gate.settles_s(),
            unknown_elsewhere=self._unknown_elsewhere(known, None),
        )
        self.spent_before = spent.output_tokens_day
        tightest: tuple[int, int] | None = None  # tokens left, set
        for k in self.sets:
            most = most_of_set(limits.models[k], self._account)
            if most is not None:
                used, held = budgets.of_set(place, now, k, sliding=slides)
                left = most - used - held + self.held + self._promised
                tightest = min(tightest or (most, k), (left, k))
        if tightest is None:
            return spent, None
        used, held = budgets.of_set(place, now, tightest[1], sliding=slides)
        blocks = budgets.set_blocks(place, now, tightest[1]) if slides else ()
        spent = dataclasses.replace(
            spent,
            set_tokens_day=used - self._promised,
            set_blocks=_less(blocks, self._promised),
            set_tokens_held=held - self.held,
            unknown_elsewhere=self._unknown_elsewhere(known, tightest[1]),
        )
        return spent, most_of_set(limits.models[tightest[1]], self._account)

    def resume(self, on_way: int, sets: tuple[int, ...]) -> None:
        """Continue with an earlier reservation."""
        self._place = self._gate.budgets.place(self._account, self._number)
        self.held, self.sets = on_way, sets

    def _sets_of(self, models: tuple[str, ...]) -> tuple[int, ...]:
        names = models or (None,)
        return tuple(sorted({k for name in names if (k := self._gate.set_of(name)) is not None}))

    def _unknown_elsewhere(self, known: list[int] | None, model_set: int | None) -> FleetUsage | None:
        """Return what only this gateway knows to be used, less what this request itself reserves."""
        gate, slides = self._gate, self._gate.terms.limits.slides
        spent = gate.budgets.unknown_elsewhere(self._place, self._began_us, known, model_set, sliding=slides)
        if spent is None:
            return None
        return dataclasses.replace(
            spent,
            tokens_held=spent.tokens_held - self.held,
            set_tokens_held=spent.set_tokens_held - (self.held if model_set is not None else 0),
            set_tokens_day=spent.set_tokens_day - (self._promised if model_set is not None else 0),
        )

    def longest(self) -> int:
        """Return the most output tokens that one answer of the requested models brings."""
        gate, default = self._gate, self._gate.terms.limits.answer_tokens
        return max((gate.longest(name, default) for name in self._facts.models), default=default)

    def answer_tokens(self) -> int:
        """Return the output tokens that the answer may bring: the request's limit, else the model's."""
        most = self._facts.most
        return self.longest() if most is None or self._asked in self._gate.disobedient else most

    def refused_by_hold(self) -> bool:
        """Note that a randomised hold refuses it; return whether it is this minute's first."""
        return self._gate.budgets.add_held(self._place, self._began_us)

    def count_request(self) -> None:
        budgets = self._gate.budgets
        self._place = budgets.place(self._account, self._number)
        budgets.add(self._place, self._began_us, 1, 0)

    # --- as its reply comes ----------------------------------------------------------------------------

    def used_since(self) -> int:
        """Return the account's output tokens since this request was decided, over all its streams."""
        gate, slides = self._gate, self._gate.terms.limits.slides
        return gate.budgets.day_tokens(self._place, gate.now_us(), sliding=slides) - self.spent_before

    def add(self, tokens: int) -> None:
        """Charge tokens as they pass."""
        self._bill(tokens)
        self.charged += tokens
        self.let_go(tokens)

    def _bill(self, tokens: int) -> None:
        """Count output tokens, also in the set of the answering model."""
        gate = self._gate
        model_set = gate.set_of(self.model or None)
        gate.budgets.add(self._place, gate.now_us(), 0, tokens, model_set, self._began_us)

    def let_go(self, tokens: int | None = None) -> None:
        """Release a part of the reservation, or all of it."""
        less = self.held if tokens is None else min(tokens, self.held)
        if less > 0:
            self.held -= less
            self._gate.budgets.hold(self._place, -less, self.sets)

    # --- at its end ------------------------------------------------------------------------------------

    def bill_reply(
        self, reply: ReplyFacts | None, request: Request, does: str, complete: bool, nothing_begun: bool
    ) -> ReplyFacts | None:
        """Charge what a reply reports; return its facts, or None if they were counted before.

        reply: None if the reply reports nothing. complete: the client has all of it. nothing_begun: the
        upstream refused the request.
        """
        gate, facts = self._gate, self._facts
        if reply is None:
            if self.charged and nothing_begun:
                self._bill(-self.charged)
            return None
        tokens = reply.output_tokens or 0
        later = request.method == "GET" and does != "unknown"
        if later or does == "fetches":  # generated at another time
            if not tokens or reply.at_work:
                return reply
            if not self._bill_fetched(request, tokens, complete):
                return None
        elif facts.background and (reply.output_tokens is None or reply.at_work or not complete):
            self.charge_in_full()
            self.keep_promised(reply.answer_id)
        else:
            self.bill_answer(reply, does)
        gate.counters[_OUTPUT_TOKENS] += tokens
        gate.counters[_INPUT_TOKENS] += reply.input_tokens or 0
        return reply

    def bill_answer(self, reply: ReplyFacts, does: str) -> None:
        """Charge an answer to the account that requested it, less what was charged already."""
        tokens = reply.output_tokens or 0
        self._bill(tokens - self.charged)
        if reply.answer_id:
            done = LaterAnswer(-1, "", self._began_us)
            self._gate.notes.note_answer(self._account, reply.answer_id, done)
        if does == "generates" and not reply.estimated:
            self._gate.learn(self._asked, tokens, self._facts.most, self._facts.answers)

    def is_paid(self) -> bool:
        """Return whether a fetched answer was charged at its request, by what it may bring."""
        if self._facts.does != "fetches" or not self._facts.stored:
            return False
        return self._gate.notes.answer(self._account, self._facts.stored) is not None

    def _bill_fetched(self, request: Request, tokens: int, complete: bool) -> bool:
        """Charge an answer that was generated earlier; return whether it was not charged before."""
        gate, now, answer = self._gate, self._gate.now_us(), self._facts.stored
        charged = gate.notes.answer(self._account, answer)
        if charged is None:
            if not gate.notes.is_new(self._account, request.target.partition("?")[0]):
                return False
            gate.budgets.fetched(self._place, now, tokens)
            return True
        if charged.tokens < 0 or not complete or not gate.notes.settle_answer(self._account, answer):
            return False
        model_set = gate.set_of(charged.model or None)
        gate.budgets.settle(self._place, now, charged.at_us, charged.tokens, tokens, model_set)
        return True

    def charge_in_full(self) -> None:
        """Charge all that the answers may bring, because their real length is not visible."""
        self.add(max(0, self.answer_tokens() * self._facts.answers - self.charged))

    def keep_promised(self, answer: str) -> None:
        """Note the name under which a charged answer is fetched later, so that it is not charged again."""
        gate = self._gate
        gate.budgets.promise(self._place, self.charged)
        if answer:
            charged = LaterAnswer(self.charged, self.model, gate.now_us())
            gate.notes.note_answer(self._account, answer, charged)

    def give_back_batch(self) -> None:
        """Take back the charge for a batch that did not start."""
        if self._promised:
            self._gate.budgets.give_back_batch(self._place, self._began_us, self._promised, self.sets)
            self._promised = 0


def _less(blocks: tuple[int, ...], tokens: int) -> tuple[int, ...]:
    """Return the blocks of a sliding day, less what a request itself has counted in the current one."""
    return (*blocks[:-1], blocks[-1] - tokens) if blocks else ()
