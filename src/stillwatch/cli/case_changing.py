"""The verbs of `stillwatch case` that change something."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Unpack

import typer

from stillwatch.cases import Case, Verdict, handling
from stillwatch.cases.handling import Authorship
from stillwatch.cases.reading import find
from stillwatch.cases.statement import APPEAL_DAYS, StatementTerms, state_reasons, write_statement
from stillwatch.cases.store import Store
from stillwatch.cli.case_opening import HERE, CasePlace
from stillwatch.cli.folder import AsJson, open_state, read_names, record_as_json, span_s, whoami
from stillwatch.cli.main import one_line
from stillwatch.cli.verb import verb
from stillwatch.console import inbox, people
from stillwatch.console.requested_steps import participants
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.gateway.control import actions
from stillwatch.gateway.folder import Folder
from stillwatch.report.amounts import plural
from stillwatch.units import utc_us

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="A case, or the beginning of its id.")]
Accounts = Annotated[list[str] | None, typer.Argument(metavar="[ACCOUNT]...", help="Accounts of the case.")]
AccountsFile = Annotated[
    Path | None, typer.Option(help="File of accounts, one a line; - for standard input.")
]
Why = Annotated[str, typer.Option(help="Reason, for the next reader.", show_default=False)]
Revision = Annotated[
    int | None, typer.Option("--if-revision", help="Only if nobody has changed the case since this one.")
]
Approver = Annotated[str | None, typer.Option(help="Second person, required to dismiss many within a day.")]


@dataclass(frozen=True)
class StatedReason:
    """The option that gives a reason."""

    why: Why = ""
    if_revision: Revision = None


@dataclass(frozen=True)
class CaseAct(CasePlace):
    """The options of a verb that changes a case: where the cases are, and the output format."""

    as_json: AsJson = False

    def do(self, case: str, act: Callable[..., Case], *args: object, **keywords: object) -> None:
        """Change a case for the given reason, and print its new state."""
        keywords |= {"who": whoami(), "now_us": utc_us()}
        if isinstance(self, StatedReason):
            keywords |= {"why": self.why, "if_revision": self.if_revision}
        with self.open() as store:
            changed = act(store, find(store, case), *args, **keywords)
        print(json.dumps(case_as_json(changed), indent=1) if self.as_json else _describe(changed))


@dataclass(frozen=True)
class ReasonedAct(CaseAct, StatedReason):
    """The options of a verb that needs a reason."""


ACT, REASONED = CaseAct(), ReasonedAct()


def assign_command(
    case: CaseId,
    owner: Annotated[str | None, typer.Argument(help="New owner.")] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Remove the owner.")] = False,
    due: Annotated[str | None, typer.Option(help="Due after this time: 4h, 2d.")] = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Assign a case to a person, with a due date.

    $ stillwatch case assign case-7f3a ann --due 4h
    $ stillwatch case assign case-7f3a --nobody
    """
    if (owner is None) == (not nobody):
        raise InputError("give an owner, or --nobody")
    options.do(case, handling.assign, owner, due_us=None if due is None else _later_us(due, "--due"))


def due_command(
    case: CaseId,
    after: Annotated[str, typer.Argument(metavar="TIME", help="Time from now: 4h, 2d.")],
    options: ReasonedAct = REASONED,
) -> None:
    """Set until when somebody must look at a case. The owner stays the same.

    $ stillwatch case due case-7f3a 2d --why "their lawyer writes on Friday"
    """
    options.do(case, handling.set_due, _later_us(after, "TIME"))


def note_command(
    case: CaseId,
    text: Annotated[str, typer.Argument(help="The note; - reads it from standard input.")],
    options: CaseAct = ACT,
) -> None:
    """Add a note to a case; people mentioned as @NAME are notified in the console.

    $ stillwatch case note case-7f3a "called them, they will ring back; @anna please look"
    """
    options.do(case, _note_and_mention, sys.stdin.read() if text == "-" else text)


def _note_and_mention(store: Store, case_id: str, text: str, **by: Unpack[Authorship]) -> Case:
    people.prepare(store)
    return inbox.note(store, case_id, text, **by)


def judge_command(
    case: CaseId,
    verdict: Annotated[
        str | None,
        typer.Argument(
            metavar="VERDICT", help="true, false, suspicious, permitted; of accounts also victim."
        ),
    ] = None,
    accounts: Accounts = None,
    accounts_file: AccountsFile = None,
    clear: Annotated[
        list[str] | None, typer.Option(metavar="ACCOUNT", help="Remove an account's verdict.")
    ] = None,
    approver: Approver = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Record a verdict on a case or on single accounts. Victims of stolen keys are never sanctioned.

    $ stillwatch case judge case-7f3a true --why "one template, one card behind 18 accounts"
    $ stillwatch case judge case-7f3a victim acct_12 acct_31 --why "keys found on a paste site"
    $ stillwatch case judge case-7f3a --clear acct_12 --why "mixed up"     (removes the account's verdict)
    """
    names = _account_names(accounts, accounts_file)
    if (verdict is None) == (not clear):
        raise InputError("give a verdict, or --clear ACCOUNT")
    new_verdict = None if verdict is None else _parse_verdict(verdict)
    if new_verdict is not None and not names:
        options.do(case, handling.judge, new_verdict, approver=approver)
    else:
        options.do(case, handling.judge_accounts, names or clear or [], new_verdict, approver=approver)


def close_command(
    case: CaseId,
    verdict: Annotated[str | None, typer.Option(help="true, false, suspicious or permitted.")] = None,
    approver: Approver = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Close a judged case. It reopens automatically when the actor returns.

    $ stillwatch case close case-7f3a --verdict true --why "blocked, see standing action 12"
    """
    options.do(case, handling.close, None if verdict is None else _parse_verdict(verdict), approver=approver)


def reopen_command(case: CaseId, options: ReasonedAct = REASONED) -> None:
    """Open a closed case again."""
    options.do(case, handling.reopen)


def suppress_command(
    case: CaseId,
    owner: Annotated[str | None, typer.Option(help="The person responsible.")] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="For how long: 30d; a year at most.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End the suppression early.")] = False,
    approver: Approver = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Suppress alerts of a case for a while. It is still measured.

    $ stillwatch case suppress case-7f3a --owner bo --for 30d --why "their red team, contract 17"
    $ stillwatch case suppress case-7f3a --end --why "contract ended"
    """
    if end:
        options.do(case, handling.unsuppress)
    elif owner is None or lasts is None:
        raise InputError("a suppression needs --owner and --for; --end ends one")
    else:
        until_us = _later_us(lasts, "--for")
        options.do(case, handling.suppress, owner=owner, until_us=until_us, approver=approver)


def appeal_command(
    case: CaseId,
    text: Annotated[str, typer.Argument(help="What the customer says.")],
    account: Annotated[str | None, typer.Option(help="The account that it is for.")] = None,
    options: CaseAct = ACT,
) -> None:
    """Record a customer's appeal against a case.

    $ stillwatch case appeal case-7f3a "we are a class of 40" --account acct_12
    """
    options.do(case, handling.appeal, text, account=account)


def decide_command(
    case: CaseId,
    accounts: Accounts = None,
    accounts_file: AccountsFile = None,
    granted: Annotated[
        bool | None,
        typer.Option("--grant/--refuse", help="Grant the appeal and clear the accounts, or refuse it."),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option("--appeal", help="Which appeal, if several are open: its number in `case log`."),
    ] = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Decide an appeal. Whoever judged the case, or requested, took or approved an action, may not.

    A grant clears the named accounts, or else the one that appealed.

    $ stillwatch case decide case-7f3a --grant acct_12 --why "the school confirmed"
    $ stillwatch case decide case-7f3a --appeal 12 --refuse --why "no such school"
    """
    names = _account_names(accounts, accounts_file)
    if granted is None:
        raise InputError("give --grant or --refuse")

    def decide(store: Store, case_id: str, **stated: Any) -> Case:
        chosen = [appeal for appeal in handling.appeals(store, case_id) if number in (None, appeal.number)]
        account = chosen[0].account if len(chosen) == 1 else None
        whom = store.case(case_id).accounts if account is None else (account,)
        acted = _step_authors(options.folder, whom)
        acted |= participants(store, handling.related_cases(store, case_id))
        return handling.decide(
            store, case_id, granted, accounts=names, number=number, sanctioned=acted, **stated
        )

    options.do(case, decide)
    if granted and Folder(options.folder).state.exists():
        advice = (
            "steps that stand against who was cleared go on: `stillwatch standing show`, and end them with"
        )
        print(
            f'stillwatch: {advice} `stillwatch standing set ACCOUNT --step clear --why "..."`',
            file=sys.stderr,
        )


def statement_command(
    case: CaseId,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account that it goes to.")],
    measure: Annotated[str, typer.Option(help="What is done to the account, from when, until when.")] = "",
    ground: Annotated[str, typer.Option(help="The clause of your terms that it rests on, and why.")] = "",
    contact: Annotated[str, typer.Option(help="Where an appeal goes.")] = "",
    appeal_days: Annotated[int, typer.Option(help="How long an appeal can be sent.", min=1)] = APPEAL_DAYS,
    out: Annotated[Path | None, typer.Option(help="Output file; default: standard output.")] = None,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    r"""Write a statement of reasons to a customer: its own evidence, the error rate, and how to appeal.

    $ stillwatch case statement case-7f3a acct_12
    $ stillwatch case statement case-7f3a acct_12 --measure "20,000 tokens an hour until 1 May" \
        --ground "section 4 of our terms: no training of other models on answers" \
        --contact appeals@example.com --out statement.md
    """
    terms = StatementTerms(measure.strip(), ground.strip(), contact.strip(), appeal_days)
    with place.open() as store:
        statement = state_reasons(store, find(store, case), account, terms, who=whoami(), now_us=utc_us())
    text = json.dumps(statement.as_json(), indent=1) + "\n" if as_json else write_statement(statement)
    if out is None:
        print(text, end="")
    else:
        with refuse_os_errors(InputError, f"{out}: cannot be written", "give another --out"):
            out.write_text(text, "utf-8")
    if statement.blanks:
        missing = " ".join(f"--{name}" for name in statement.blanks)
        print(f"not ready to send: fill in the blanks, or give {missing}", file=sys.stderr)
    if not statement.judged:
        print("nobody has judged this account or its case true: say that it is provisional", file=sys.stderr)


def merge_command(
    case: CaseId,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The case to merge into.")],
    approver: Approver = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Merge two cases of one actor. Later findings do not separate them.

    $ stillwatch case merge case-9c1e case-7f3a --why "the same card"
    """

    def merge(store: Store, case_id: str, **stated: Any) -> Case:
        return handling.merge(store, case_id, find(store, into), **stated)

    options.do(case, merge, approver=approver)


def split_command(
    case: CaseId,
    accounts: Accounts = None,
    accounts_file: AccountsFile = None,
    options: ReasonedAct = REASONED,
) -> None:
    """Split accounts of another actor off into their own case. Later findings do not rejoin them.

    $ stillwatch case split case-7f3a --accounts-file theirs.txt --why "another template since May"
    """
    options.do(case, handling.split, _account_names(accounts, accounts_file))


def undo_command(
    case: CaseId,
    act: Annotated[
        int, typer.Argument(metavar="ACT", min=1, help="The act's number, as `case log` shows it.")
    ],
    options: ReasonedAct = REASONED,
) -> None:
    """Undo an act: the result is exactly the state without it.

    $ stillwatch case undo case-7f3a 12 --why "wrong case"
    """
    options.do(case, handling.undo, act)


def add_verbs(app: typer.Typer) -> None:
    """Add these verbs to `stillwatch case`."""
    for command in (
        assign_command,
        due_command,
        note_command,
        judge_command,
        close_command,
        reopen_command,
        suppress_command,
        appeal_command,
        decide_command,
        statement_command,
        merge_command,
        split_command,
        undo_command,
    ):
        verb(app, command.__name__.removesuffix("_command"))(command)


# --- parts ---


def _step_authors(folder: Path, accounts: Sequence[str]) -> dict[str, str]:
    """Return who ever set an action on some accounts at the folder's gateway; empty without a gateway."""
    if not Folder(folder).state.exists():
        return {}
    with open_state(folder) as state:
        return actions.authors(state, accounts)


def _later_us(text: str, option: str) -> int:
    return utc_us() + 1_000_000 * span_s(text, option)


def _describe(case: Case) -> str:
    verdict = f", {case.verdict}" if case.verdict else ""
    owner = f", {case.owner}'s" if case.owner else ""
    apart = f", {plural(case.victims, 'victim')}" if case.victims else ""
    apart += f", {case.cleared:,} cleared" if case.cleared else ""
    accounts = plural(case.members, "account")
    return one_line(f"{case.id} is {case.state}{verdict}{owner}: {accounts}{apart}; revision {case.revision}")


def case_as_json(case: Case) -> dict[str, Any]:
    """Return a case as JSON values, without its accounts."""
    return record_as_json(case, "accounts")


def _parse_verdict(text: str) -> Verdict:
    try:
        return Verdict(text)
    except ValueError:
        words = ", ".join(Verdict)
        raise InputError(f"{text!a} is no verdict; give one of {words}") from None


def _account_names(accounts: list[str] | None, path: Path | None) -> list[str]:
    """Return the named accounts, each once. Raises: InputError."""
    return sorted({*(accounts or ()), *(read_names(path) if path else ())})
