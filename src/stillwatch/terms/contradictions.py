"""Problems between two entries of the policy, and warnings that depend on the day.

Problems and warnings are noted at the later of the two entries.
"""

from collections.abc import Hashable, Iterable
from difflib import get_close_matches

from stillwatch.lineage.resolve import resolve
from stillwatch.lineage.skeleton import skeleton
from stillwatch.lineage.table import table
from stillwatch.terms import Step, Terms
from stillwatch.terms.decide import model_verdict
from stillwatch.toml.places import Path
from stillwatch.toml.reading import Mistakes, show_value
from stillwatch.units import DAY_US

LONGEST_CHAIN = 16
SOON_US = 14 * DAY_US


def contradictions(terms: Terms, notes: Mistakes) -> None:
    """Note every problem that only shows between entries."""
    _note_cycles(terms, notes)
    _note_unknown_families(terms, notes)
    _note_repeats(notes, "ban", "bans the same family", [skeleton(ban.family) for ban in terms.bans])
    exceptions = [(e.account, e.org, frozenset(e.models), e.family) for e in terms.exceptions]
    _note_repeats(
        notes, "exception", "excepts the same models for the same account or organisation", exceptions
    )
    permissions = [(p.account, p.org, p.kind) for p in terms.permissions]
    _note_repeats(
        notes, "permission", "permits the same kind of use to the same account or organisation", permissions
    )


def _note_cycles(terms: Terms, notes: Mistakes) -> None:
    aliases = terms.models.aliases
    for name in aliases:
        chain = [name]
        while len(chain) <= LONGEST_CHAIN and (target := aliases.get(chain[-1])) is not None:
            chain.append(target)
            if target == name:
                what = f"leads back to itself ({' -> '.join(chain)}); name the upstream's model"
                notes.wrong(("models", "aliases", name), what)
                break
        else:
            if len(chain) > LONGEST_CHAIN and len(set(chain)) == len(chain):
                what = f"is an alias of an alias, more than {LONGEST_CHAIN} deep; name the upstream's model"
                notes.wrong(("models", "aliases", name), what)


def _note_unknown_families(terms: Terms, notes: Mistakes) -> None:
    """Note bans on families that the lineage table does not know: they would ban nothing."""
    families = list(table().families)
    for number, ban in enumerate(terms.bans):
        if ban.models or ban.hosts or ban.family in families:
            continue
        nearest = get_close_matches(ban.family, families, n=1)
        meant = resolve(ban.family).family or (nearest[0] if nearest else None)
        hint = f"did you mean {show_value(meant)}?" if meant else f"known: {', '.join(families)}."
        notes.wrong(
            ("ban", number, "family"),
            f"{show_value(ban.family)} is not a family of the lineage table, so nothing would be banned; "
            f"{hint} Write model names that the table does not know under `models`",
        )


def _note_repeats(notes: Mistakes, key: str, problem: str, entries: Iterable[Hashable]) -> None:
    first: dict[Hashable, int] = {}
    for number, entry in enumerate(entries):
        if entry in first:
            line = notes.line((key, first[entry]))
            notes.wrong((key, number), f"{problem} as line {line}; remove one")
        first.setdefault(entry, number)


def doubts(terms: Terms, notes: Mistakes, now_us: int) -> None:
    """Warn of entries that are valid but do not do what they seem to do."""
    _warn_of_ends(terms, notes, now_us)
    _warn_of_idle_entries(terms, notes)
    _warn_of_refused_names(terms, notes, now_us)
    _warn_of_holds(terms, notes)
    for number, network in enumerate(terms.identity.trusted_proxies):
        if network.prefixlen == 0:
            notes.warn(
                ("identity", "trusted_proxies", number),
                "the x-forwarded-for header of every client is trusted; name your proxies' networks",
            )
    if terms.ladder.dry_run and any(rung.act and rung.step > Step.WATCH for rung in terms.ladder.rungs):
        notes.warn(("ladder", "dry_run"), "the ladder takes no steps: they are only recorded")
    if not terms.ladder.act_on_group_findings:
        for number, rung in enumerate(terms.ladder.rungs):
            if rung.act and rung.lone is not True and rung.step > Step.WATCH:
                notes.warn(
                    ("ladder", "rule", number),
                    'mode = "act" applies only to lone payers here: a step on a group finding is only '
                    "proposed unless [ladder] has act_on_group_findings = true",
                )


def _warn_of_holds(terms: Terms, notes: Mistakes) -> None:
    """Warn about holds, which refuse people who may have done nothing: what the owner may have missed."""
    holds = terms.holds
    if holds.mode == "dry_run":
        notes.warn(("holds", "mode"), "no account is held: the accounts that would be held are only recorded")
    if holds.mode == "on" and not (holds.exempt_accounts or holds.exempt_orgs):
        what = (
            "only tenants with a [[permission]] are exempt; name the organisations with a contract in "
            "exempt_orgs"
        )
        notes.warn(("holds", "mode"), what)


def _warn_of_ends(terms: Terms, notes: Mistakes, now_us: int) -> None:
    dated: list[tuple[str, int, int]] = [
        *(("exception", number, entry.expires_us) for number, entry in enumerate(terms.exceptions)),
        *(("permission", number, entry.expires_us) for number, entry in enumerate(terms.permissions)),
    ]
    for key, number, expires_us in dated:
        if expires_us <= now_us:
            notes.warn((key, number, "expires"), f"this {key} has expired and has no effect; remove it")
        elif expires_us <= now_us + SOON_US:
            days = (expires_us - now_us) // DAY_US
            notes.warn((key, number, "expires"), f"this {key} expires in {days} days")


def _warn_of_idle_entries(terms: Terms, notes: Mistakes) -> None:
    families = {ban.family for ban in terms.bans}
    for number, entry in enumerate(terms.exceptions):
        if entry.family is not None and entry.family not in families:
            notes.warn(
                ("exception", number, "family"),
                f"{show_value(entry.family)} is not banned, so this exception has no effect",
            )
    for number, ban in enumerate(terms.bans):
        if ban.family not in table().families:
            notes.warn(
                ("ban", number, "family"),
                f"{show_value(ban.family)} is not in the lineage table: only the models and hosts listed "
                "here, and copies with the same names, are banned",
            )


def _warn_of_refused_names(terms: Terms, notes: Mistakes, now_us: int) -> None:
    """Warn of names that the policy offers but refuses at once."""
    models = terms.models
    names: list[tuple[Path, str]] = [
        *((("models", "allow", number), name) for number, name in enumerate(models.allow)),
        *((("models", "aliases", name), name) for name in models.aliases),
        *((("models", "fallbacks", name), name) for name in models.fallbacks if name not in models.aliases),
    ]
    for path, name in names:
        verdict = model_verdict(terms, name, "", now_us)
        if not verdict.allow:
            notes.warn(path, f"{show_value(name)} is refused nevertheless ({verdict.rule}): {verdict.reason}")
