"""Whether a request that another gateway describes may go on: one look-up and the terms' pure decision.

It believes what it is told of account and models: who may tell is `door`'s matter. A host counts as a model
that may answer.
"""

from stillwatch.exchanges.operations import NAMES_A_MODEL, does_of
from stillwatch.gateway.hooks import ReportedRequest, TermsJudgement
from stillwatch.gateway.path.gate import Gate
from stillwatch.terms import Decision, ModelVerdict, RequestFacts, Terms
from stillwatch.terms.decide import decide, host_verdict

ANY = ModelVerdict(True, "allowed", None)
UNSEEN = ModelVerdict(True, "models.unseen", None)  # no body was shown
REMEMBERED = 10_000  # hosts


class Judge:
    """One for the process."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._terms: Terms | None = None  # of the hosts below
        self._hosts: dict[str, ModelVerdict] = {}

    def request(self, asked: ReportedRequest, now_us: int, *, count: bool = True) -> TermsJudgement:
        """Decide, and count the request against its account's limits unless it is only looked at."""
        gate = self.gate
        verdict = self.verdict(asked, now_us)
        ask = RequestFacts(
            asked.account, asked.end_user, asked.operation, asked.models[0] if asked.models else None,
            asked.stream, asked.n, asked.logprobs, asked.body_bytes, asked.org, does=asked.does,
        )  # fmt: skip
        place = gate.budgets.place(asked.account, asked.number)
        spent = gate.budgets.spent(place, now_us)
        standing = gate.tables.standings.get(asked.account)
        decision = decide(gate.terms, standing, ask, verdict, spent, now_us)
        if decision.allow and count:
            gate.budgets.add(place, now_us, 1, 0)
        return TermsJudgement(decision, verdict)

    def reply(self, asked: ReportedRequest, served: str, now_us: int) -> TermsJudgement:
        """Whether a reply may be handed on, by the model that it names."""
        first = asked.models[0] if asked.models else ""
        verdict = self.gate.reply_verdict(first, served, asked.account, asked.org, now_us)
        if verdict.allow:
            return TermsJudgement(Decision(True, verdict.rule, warn=verdict.warn), verdict)
        code = "model_banned" if verdict.rule.startswith("ban:") else "model_not_allowed"
        return TermsJudgement(Decision(False, verdict.rule, 403, code, verdict.reason), verdict)

    def verdict(self, asked: ReportedRequest, now_us: int) -> ModelVerdict:
        """The first refusal among all models and hosts, else the first warning, else what is said of the one
        that was asked for."""
        names: tuple[str | None, ...] = asked.models
        if not names and not asked.blind and (asked.does or does_of(asked.operation)) in NAMES_A_MODEL:
            names = (None,)
        verdicts = [self.gate.verdict(name, asked.account, asked.org, now_us) for name in names]
        verdicts += [self._host(host) for host in asked.hosts]
        told = None
        for verdict in verdicts:
            if not verdict.allow:
                return verdict
            if told is None and verdict.warn:
                told = verdict
        return told or (verdicts[0] if verdicts else UNSEEN if asked.blind else ANY)

    def _host(self, host: str) -> ModelVerdict:
        if self._terms is not self.gate.terms or len(self._hosts) > REMEMBERED:
            self._terms, self._hosts = self.gate.terms, {}
        found = self._hosts.get(host)
        if found is None:
            found = self._hosts[host] = host_verdict(self.gate.terms, host)
        return found
