"""`stillwatch standing`: the enforcement status of accounts, who set it, and undoing it."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from stillwatch.cli.case_changing import AccountsFile
from stillwatch.cli.folder import (
    FOLDER,
    PAGE,
    AsJson,
    AtFolder,
    DryRun,
    changing,
    end_us,
    iso_time,
    need_why,
    open_state,
    read_names,
    record_as_json,
    table,
    whoami,
)
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.console import NearbyAccount, StepImpact
from stillwatch.errors import InputError
from stillwatch.gateway.control import actions, proposals
from stillwatch.gateway.control.affected import MOST_NAMED, reach
from stillwatch.gateway.control.ladder import Proposal
from stillwatch.gateway.folder import Folder
from stillwatch.report.amounts import plural
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.units import utc_us

app = group("Enforcement status of accounts.")

Why = Annotated[str, typer.Option(help="Reason, for the next reader of the log.", show_default=False)]
For = Annotated[str | None, typer.Option("--for", help="Ends automatically after this time: 90d, 12h, 30m.")]
Number = Annotated[int, typer.Argument(min=1)]

SHOWN = 10  # accounts in a table of a dry run


@verb(app, "show")
def show_command(
    account: Annotated[
        str | None, typer.Argument(help="One account; default: all that are not clear.")
    ] = None,
    step: Annotated[str | None, typer.Option(help="Only accounts with this status.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only accounts of this campaign.")] = None,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show the enforcement statuses of accounts. Accounts not listed are clear.

    $ stillwatch standing show
    $ stillwatch standing show acme
    $ stillwatch standing show --step block --json | jq -r '.[].account'
    """
    only = None if step is None else _step(step)
    with open_state(folder) as state:
        if account is not None:
            statuses = actions.standings(state, [account])
        else:
            statuses = {}
            after = ""
            while page := actions.standings(state, step=only, campaign=campaign, after=after, limit=PAGE):
                statuses |= page
                after = max(page)
    if as_json:
        print_json([_plain(name, standing) for name, standing in statuses.items()])
        return
    nothing = "no account is on a step: all are clear" if account is None else f"{one_line(account)} is clear"
    rows = [
        (
            name,
            s.step.name.lower(),
            iso_time(s.since_us),
            iso_time(s.until_us) or "until lifted",
            s.campaign,
            s.reason,
        )
        for name, s in statuses.items()
    ]
    table(("account", "step", "since", "until", "campaign", "reason"), rows, nothing)


@verb(app, "set")
def set_command(
    accounts: Annotated[list[str] | None, typer.Argument(help="The accounts.")] = None,
    step: Annotated[str, typer.Option(help="clear, watch, verify, throttle, strip, mark or block.")] = "",
    why: Why = "",
    accounts_file: AccountsFile = None,
    lasts: For = None,
    output_tokens_per_hour: Annotated[
        int | None, typer.Option(help="Budget of a throttle; default: the policy's.", min=0)
    ] = None,
    folder: AtFolder = FOLDER,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Set the enforcement status of accounts; `--step clear` lifts it. Shows who is affected; see --dry-run.

    $ stillwatch standing set acme --step throttle --why "load test ran away" --for 6h
    $ stillwatch standing set --accounts-file pool.txt --step block --why "case 12" --dry-run
    $ stillwatch standing set acme --step clear --why "verified by phone"
    """
    names = sorted({*(accounts or ()), *(map(str.strip, read_names(accounts_file)) if accounts_file else ())})
    if not names:
        raise InputError("no account was given; name some, or use --accounts-file")
    to, now_us = _step(step), utc_us()
    until_us = end_us(lasts, "--for", now_us)
    set_to = EnforcementStatus(to, now_us, why, None, output_tokens_per_hour, until_us)
    need_why(why, dry_run)
    with changing(folder) as state:
        hits = reach(state, Folder(folder.resolve()), names, to, now_us)
        action = None
        if not dry_run:
            pairs = [(name, set_to) for name in names]
            action = actions.act(state, pairs, who=whoami(), why=why, now_us=now_us)
        _tell_done(action, to, hits, as_json)


@verb(app, "undo")
def undo_command(
    action: Number, why: Why = "", folder: AtFolder = FOLDER, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Undo an action: the status before it applies again exactly. An undo can be undone, too.

    $ stillwatch standing undo 17 --why "wrong account"
    $ stillwatch standing undo 17 --dry-run
    """
    need_why(why, dry_run)
    with changing(folder) as state:
        touched = actions.accounts_of(state, action)
        number = None
        if not dry_run:
            number = actions.undo(state, action, who=whoami(), why=why, now_us=utc_us())
        did = "would take" if number is None else "takes"
        undone = "it" if number is None else f"action {number}"
        if as_json:
            print_json({"action": number, "undoes": action, "accounts": touched})
        else:
            print(
                f"{undone} {did} back action {action}, of {plural(len(touched), 'account')}: "
                f"{_names(touched)}"
            )


@verb(app, "log")
def log_command(
    account: Annotated[str | None, typer.Argument(help="One account; default: all.")] = None,
    limit: Annotated[int, typer.Option(help="How many changes, newest first.", min=1, max=100_000)] = 50,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show every change of a status: who, when, why, and whether it still applies.

    $ stillwatch standing log
    $ stillwatch standing log acme --limit 5
    """
    with open_state(folder) as state:
        history = actions.history(state, account, limit=limit)
    if as_json:
        plain = [
            {"change": c.change, "action": c.action, "at": iso_time(c.at_us), "who": c.who, "why": c.why}
            | _plain(c.account, c.standing)
            | {"undone": c.undone, "over": c.over}
            for c in history
        ]
        print_json(plain)
        return
    rows = [
        (
            c.action,
            iso_time(c.at_us),
            c.who,
            c.account,
            c.standing.step.name.lower(),
            "undone" if c.undone else "over" if c.over else "",
            c.why,
        )
        for c in history
    ]
    table(("action", "at", "who", "account", "step", "", "why"), rows, "nothing was changed yet")


@verb(app, "proposals")
def proposals_command(
    every: Annotated[bool, typer.Option("--all", help="Include decided ones.")] = False,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show the actions that the policy's ladder proposes: those that wait for a person, and automatic ones.

    $ stillwatch standing proposals
    $ stillwatch standing proposals --all --json
    """
    with open_state(folder) as state:
        listed = proposals.proposals(state, None if every else "open", limit=PAGE)
    if as_json:
        print_json([_proposal_as_json(item) for item in listed])
        return
    rows = [
        (
            p.proposal,
            p.wanted.step.name.lower(),
            len(p.wanted.accounts),
            p.wanted.campaign,
            _proposal_state(p),
            p.wanted.why,
        )
        for p in listed
    ]
    table(("proposal", "step", "accounts", "campaign", "state", "why"), rows, "nothing is proposed")


@verb(app, "approve")
def approve_command(
    proposal: Number,
    why: Why = "",
    lasts: For = None,
    folder: AtFolder = FOLDER,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Approve a proposed action. Shows who is affected; see --dry-run.

    $ stillwatch standing approve 3 --dry-run
    $ stillwatch standing approve 3 --for 7d
    """
    now_us = utc_us()
    until_us = end_us(lasts, "--for", now_us)
    with changing(folder) as state:
        names, step = proposals.would_change(state, proposal)
        hits = reach(state, Folder(folder.resolve()), names, step, now_us)
        action = None
        if not dry_run:
            action = proposals.apply(state, proposal, who=whoami(), why=why, now_us=now_us, until_us=until_us)
        _tell_done(action, step, hits, as_json)


@verb(app, "dismiss")
def dismiss_command(
    proposal: Number, why: Why = "", folder: AtFolder = FOLDER, as_json: AsJson = False
) -> None:
    """Close a proposal. That action is not proposed for these accounts again.

    $ stillwatch standing dismiss 3 --why "their own evaluation, they told us"
    """
    need_why(why)
    with open_state(folder) as state:
        proposals.dismiss(state, proposal, who=whoami(), why=why, now_us=utc_us())
        stored = proposals.proposal(state, proposal)
    print_json(_proposal_as_json(stored)) if as_json else print(f"proposal {proposal} is dismissed")


def _step(text: str) -> Step:
    try:
        return Step[text.upper()]
    except KeyError:
        names = ", ".join(step.name.lower() for step in Step)
        raise InputError(f"--step is {text!r}; give one of {names}") from None


def _tell_done(action: int | None, step: Step, hits: StepImpact, as_json: bool) -> None:
    if as_json:
        print_json({"action": action, "step": step.name.lower(), "reach": asdict(hits)})
        return
    did = "would be set" if action is None else "is set"
    print(f"{step.name.lower()} {did} for {plural(len(hits.accounts), 'account')}: {_names(hits.accounts)}")
    print(f"  with {_amount(hits.keys, 'key')} and {_amount(hits.end_users, 'end user')} of the last 7 days")
    if hits.unchanged:
        print(f"  {plural(len(hits.unchanged), 'account')} stood there already: {_names(hits.unchanged)}")
    if hits.unknown:
        print(f"  nothing is known of {plural(len(hits.unknown), 'account')}: {_names(hits.unknown)}")
    near = [
        (len(hits.same_org), "of the same organisations"),
        (hits.same_end_user, "that share an end user"),
        (hits.same_network, "seen behind the same address"),
    ]
    for amount, words in near:
        if amount != 0:
            print(f"  not touched: {_amount(amount, 'account')} {words}")
    _print_nearby("hit", hits.hit, len(hits.accounts))
    _tell_users(hits)
    _print_nearby("not touched", hits.near, None)
    for note in hits.notes[1:]:
        print(f"  {note}")
    if action is not None:
        print(f"`stillwatch standing undo {action}` takes it back")


def _print_nearby(title: str, accounts: tuple[NearbyAccount, ...], of: int | None) -> None:
    """Print accounts with what is known of them; `--json` has up to a hundred."""
    if not any(k.exchanges or k.kind_of_use or k.shares or k.step != "clear" for k in accounts):
        return  # nothing to add to their names
    rows = [
        (
            k.account,
            k.org,
            k.kind_of_use or "unknown",
            "?" if k.exchanges is None else f"{k.exchanges:,}",
            "?" if k.output_tokens is None else f"{k.output_tokens:,}",
            "?" if k.end_users is None else f"{k.end_users:,}",
            k.step,
            k.campaign,
            ", ".join(k.shares),
        )
        for k in accounts[:SHOWN]
    ]
    print()
    heads = ("organisation", "use", "exchanges", "tokens", "end users", "stands", "campaign")
    table((title, *heads, "shares" if of is None else ""), rows, "")
    not_shown = (len(accounts) if of is None else of) - len(rows)
    if not_shown > 0:
        print(f"and {not_shown:,} more; --json names up to {MOST_NAMED}")


def _tell_users(hits: StepImpact) -> None:
    if hits.users:
        print()
        rows = [(u.end_user, u.account, f"{u.exchanges:,}") for u in hits.users[:SHOWN]]
        table(("hit: end user", "below", "exchanges"), rows, "")
        if (hits.end_users or 0) > len(rows):
            print(f"and {(hits.end_users or 0) - len(rows):,} more; --json names up to {MOST_NAMED}")


def _amount(amount: int | None, noun: str) -> str:
    return f"an unknown number of {noun}s" if amount is None else plural(amount, noun)


def _names(names: tuple[str, ...] | list[str]) -> str:
    first_names = ", ".join(one_line(name) for name in names[:10])
    return first_names + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


def _plain(account: str, standing: EnforcementStatus) -> dict[str, Any]:
    return {"account": account, **record_as_json(standing, "mark"), "step": standing.step.name.lower()}


def _proposal_as_json(proposal: Proposal) -> dict[str, Any]:
    wanted = record_as_json(proposal.wanted) | {"step": proposal.wanted.step.name.lower()}
    return record_as_json(proposal, "wanted") | wanted


def _proposal_state(proposal: Proposal) -> str:
    if proposal.state != "open":
        return f"{proposal.state} by {proposal.decided_by}"
    due_us = proposal.wanted.due_us
    return "waits for a person" if due_us is None else f"by itself at {iso_time(due_us)}"
