"""Decides whether a request that another gateway describes may proceed, by the policy's pure decision.

Account and models are trusted as reported; `door` decides who may report. A host counts as a model that may
answer.
"""

from dataclasses import replace

from stillwatch.exchanges.operations import NAMES_A_MODEL, does_of
from stillwatch.gateway.control.owners import EVERYBODY, OwnersError
from stillwatch.gateway.hooks import ReportedRequest, TermsJudgement
from stillwatch.gateway.path.admission import weigh
from stillwatch.gateway.path.charge import Charge
from stillwatch.gateway.path.gate import NOBODY, Gate
from stillwatch.gateway.path.object_access import NOBODYS, UNKNOWN
from stillwatch.gateway.path.request import Facts
from stillwatch.terms import Decision, ModelVerdict, RequestFacts, Terms
from stillwatch.terms.decide import decide, host_verdict

ANY = ModelVerdict(True, "allowed", None)
UNSEEN = ModelVerdict(True, "models.unseen", None)  # no body was shown
REMEMBERED = 10_000  # hosts
UNKNOWN_S = 5


class Judge:
    """One for the process."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._terms: Terms | None = None  # of the hosts below
        self._hosts: dict[str, ModelVerdict] = {}

    def request(self, reported: ReportedRequest, now_us: int, *, count: bool = True) -> TermsJudgement:
        """Decide, count the request against its account's limits and hold what its answer may bring.

        Without `count` it does neither: the tokens held may be this request's own.
        """
        gate = self.gate
        verdict = self.verdict(reported, now_us)
        if (refused := self._of_owner(reported, now_us)) is not None:
            return TermsJudgement(refused, verdict)
        facts = Facts(
            reported.operation, reported.does or does_of(reported.operation), reported.models,
            n=reported.n, most=reported.most, answers=max(reported.n, reported.answers),
            background=reported.background, stored=reported.stored, stream=reported.stream,
        )  # fmt: skip
        charge = Charge(gate, reported.account, reported.number, facts, now_us)
        ask = RequestFacts(
            reported.account, reported.end_user, reported.operation,
            reported.models[0] if reported.models else None, reported.stream, reported.n, reported.logprobs,
            reported.body_bytes, reported.org, does="reads" if charge.is_paid() else facts.does,
        )  # fmt: skip
        if not count:
            place = gate.budgets.place(reported.account, reported.number)
            slides = gate.terms.limits.slides
            spent = replace(gate.budgets.spent(place, now_us, sliding=slides), tokens_held=0)
            standing = gate.tables.standings.get(reported.account)
            return TermsJudgement(decide(gate.terms, standing, ask, verdict, spent, now_us), verdict)
        limited = gate.limited or reported.account in gate.tables.standings
        decision = weigh(gate, ask, verdict, charge if limited else None, now_us)
        if not decision.allow or decision.output_tokens_left is None:
            charge.let_go()
        if decision.allow:
            charge.count_request()
            if facts.background and not facts.stream:
                charge.charge_in_full()
        return TermsJudgement(decision, verdict, charge)

    def _of_owner(self, reported: ReportedRequest, now_us: int) -> Decision | None:
        """Return a refusal if a requested model is, or may be, another account's alone."""
        for model in reported.models if self.gate.terms.identity.keys == "issued" else ():
            try:
                owners = self.gate.model_owners(model, now_us)
            except OwnersError:
                return Decision(False, "owners_unknown", 503, "owners_unknown", UNKNOWN, UNKNOWN_S)
            if not owners <= {reported.account, EVERYBODY, NOBODY}:  # hooks do not see which jobs are read
                return Decision(False, "not_found", 404, "not_found", NOBODYS.format(model[:200]))
        return None

    def reply(self, reported: ReportedRequest, served: str, now_us: int) -> TermsJudgement:
        """Decide whether a reply may be passed on, by the model that it names."""
        first = reported.models[0] if reported.models else ""
        verdict = self.gate.reply_verdict(first, served, reported.account, reported.org, now_us)
        if verdict.allow:
            return TermsJudgement(Decision(True, verdict.rule, warn=verdict.warn), verdict)
        code = "model_banned" if verdict.rule.startswith("ban:") else "model_not_allowed"
        return TermsJudgement(Decision(False, verdict.rule, 403, code, verdict.reason), verdict)

    def verdict(self, reported: ReportedRequest, now_us: int) -> ModelVerdict:
        """Return the first refusal among all models and hosts, else the first warning, else the requested
        model's verdict."""
        names: tuple[str | None, ...] = reported.models
        if (
            not names
            and not reported.blind
            and (reported.does or does_of(reported.operation)) in NAMES_A_MODEL
        ):
            names = (None,)
        verdicts = [self.gate.verdict(name, reported.account, reported.org, now_us) for name in names]
        verdicts += [self._host(host) for host in reported.hosts]
        warned = None
        for verdict in verdicts:
            if not verdict.allow:
                return verdict
            if warned is None and verdict.warn:
                warned = verdict
        return warned or (verdicts[0] if verdicts else UNSEEN if reported.blind else ANY)

    def _host(self, host: str) -> ModelVerdict:
        if self._terms is not self.gate.terms or len(self._hosts) > REMEMBERED:
            self._terms, self._hosts = self.gate.terms, {}
        verdict = self._hosts.get(host)
        if verdict is None:
            verdict = self._hosts[host] = host_verdict(self.gate.terms, host)
        return verdict
