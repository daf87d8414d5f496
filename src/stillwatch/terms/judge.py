"""Whether one model name sent upstream may be used. Aliases are resolved by the caller."""

from functools import lru_cache

from stillwatch.lineage import Relation, ResolvedName
from stillwatch.lineage.copies import copy_of
from stillwatch.lineage.resolve import resolve
from stillwatch.lineage.skeleton import fold_name, skeleton
from stillwatch.lineage.table import table
from stillwatch.terms import Ban, ModelException, ModelVerdict, Terms
from stillwatch.terms.hops import LONGEST_MODEL

_resolve = lru_cache(maxsize=8192)(resolve)
_skeleton = lru_cache(maxsize=8192)(skeleton)


@lru_cache(maxsize=256)
def _skeletons(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(skeleton, names))


def judge(
    terms: Terms, names: tuple[str, ...], account: str | None, org: str | None, now_us: int
) -> ModelVerdict:
    """Return the verdict on the last of `names`; the others are the names that led to it."""
    name = names[-1]
    if len(name) > LONGEST_MODEL:
        return ModelVerdict(
            False, "models.name", name[:LONGEST_MODEL], reason="The model's name is too long."
        )
    resolved = _resolve(name)
    skeletons = frozenset(_skeleton(called) for called in names)
    until_us: int | None = None
    rule, warn = "allowed", ""
    for ban in terms.bans:
        reached = reach(ban, resolved, names)
        if reached is None or reached == "allow":
            continue
        exception = _exception_for(terms, skeletons, ban.family, account, org, now_us)
        if exception is not None:
            until_us = min(until_us or exception.expires_us, exception.expires_us)
            rule = f"exception:{exception.who}" if rule == "allowed" else rule
            continue
        message = _ban_message(ban, resolved, name)
        if reached == "deny" and ban.prevent:
            return ModelVerdict(False, f"ban:{ban.family}", name, resolved.family, message)
        if not warn:
            rule, warn = f"ban:{ban.family}", message
    known = _known_verdict(terms, resolved, names, skeletons, account, org, now_us)
    if not known.allow:
        return known
    return ModelVerdict(
        True,
        known.rule if rule == "allowed" else rule,
        name,
        resolved.family,
        warn,
        warn or None,
        min((end for end in (until_us, known.until_us) if end is not None), default=None),
    )


def reach(ban: Ban, resolved: ResolvedName, names: tuple[str, ...]) -> str | None:
    """Return how a ban applies to a model: "deny", "warn", "allow", or None if it does not apply."""
    if ban.models and not _skeletons(ban.models).isdisjoint(part for name in names for part in _parts(name)):
        return "deny"
    if any(on_host(hosts_of(ban), piece) for piece in _pieces(resolved.name) if "." in piece):
        return "deny"
    for copy in (copy_of(name, model) for name in names for model in ban.models):
        if copy is not None:
            return _of_copy(ban, copy)
    if resolved.family == ban.family and not (
        resolved.relation is Relation.DISTILLED and not resolved.teachers
    ):
        return "deny" if _is_included(ban, resolved) else None
    if ban.family in resolved.teachers and resolved.relation is Relation.MERGED:
        return "deny" if ban.merged else None
    if resolved.family == ban.family or ban.family in resolved.teachers:
        return ban.distilled
    return None


def _of_copy(ban: Ban, copy: Relation) -> str | None:
    """Return how a ban applies to a copy of a model that it names itself."""
    if copy is Relation.DISTILLED:
        return ban.distilled
    return "deny" if _is_switched_on(ban, copy) else None


def _is_included(ban: Ban, resolved: ResolvedName) -> bool:
    """Return whether the ban covers this distance from the maker's own weights on the maker's own service."""
    if resolved.host is not None and not ban.hosted_by_others and not _is_own_host(ban, resolved):
        return False
    return _is_switched_on(ban, resolved.relation)


def _is_switched_on(ban: Ban, relation: Relation) -> bool:
    switch = {
        Relation.FINETUNE: ban.finetune,
        Relation.DISTILLED: ban.finetune,  # this family's weights, trained on another's answers
        Relation.QUANTIZED: ban.quantized,
        Relation.MERGED: ban.merged,
    }
    return switch.get(relation, True)  # SAME; and UNKNOWN, which cannot be ruled out


def _is_own_host(ban: Ban, resolved: ResolvedName) -> bool:
    return resolved.host == ban.family or table().decide.get(resolved.host or "") == ban.family


@lru_cache(maxsize=8192)
def _pieces(name: str) -> tuple[str, ...]:
    """Split a name where hosts, owners and tags are joined on."""
    return tuple(fold_name(name).replace(":", "/").replace("@", "/").split("/"))


@lru_cache(maxsize=8192)
def _parts(name: str) -> frozenset[str]:
    """Return skeletons of the whole name and of its pieces."""
    return frozenset(map(skeleton, (name, *_pieces(name)))) - {""}


def hosts_of(ban: Ban) -> tuple[str, ...]:
    """Return the hosts that a ban names, and those from which the vendor serves the family."""
    vendors = _vendor_hosts(ban.family)
    return (*ban.hosts, *vendors) if ban.hosts else vendors


@lru_cache(maxsize=256)
def _vendor_hosts(name: str) -> tuple[str, ...]:
    family = table().families.get(name)
    hosts = family.hosts if family is not None else ()
    return (*hosts, *(f"*.{host}" for host in hosts))


def on_host(hosts: tuple[str, ...], host: str) -> bool:
    """Return whether a host name is one of these; "*.example.com" is every name below example.com."""
    host = fold_name(host).rstrip(".")
    return any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern for pattern in hosts
    )


def _ban_message(ban: Ban, resolved: ResolvedName, name: str) -> str:
    reason = f"{quote(name)} is {_kinship(ban, resolved)}"
    return ban.message.replace("{model}", quote(name)[1:-1]).replace("{reason}", reason)


def quote(name: str) -> str:
    """Return a client's text for use in a reply and its headers: short, ASCII, with disguises visible."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")


def _kinship(ban: Ban, resolved: ResolvedName) -> str:
    if ban.family in resolved.teachers and resolved.relation is not Relation.MERGED:
        return f"a model trained on answers of the banned family {ban.family}."
    word = {
        Relation.FINETUNE: "a fine-tune of ",
        Relation.QUANTIZED: "a quantized copy of ",
        Relation.MERGED: "a merge with ",
        Relation.DISTILLED: "a model distilled from ",
    }.get(resolved.relation, "of ")
    return f"{word}the banned family {ban.family}."


def _exception_for(
    terms: Terms,
    skeletons: frozenset[str],
    family: str | None,
    account: str | None,
    org: str | None,
    now_us: int,
) -> ModelException | None:
    """Return the exception that lets this account use this model now; of several, the last to end."""
    fitting = [
        entry
        for entry in terms.exceptions
        if entry.expires_us > now_us
        and (entry.account == "*" or (entry.account or entry.org) == (account if entry.account else org))
        and (
            (family is not None and entry.family == family)
            or not skeletons.isdisjoint(_skeletons(entry.models))
        )
    ]
    return max(fitting, key=lambda entry: entry.expires_us, default=None)


def _known_verdict(
    terms: Terms,
    resolved: ResolvedName,
    names: tuple[str, ...],
    skeletons: frozenset[str],
    account: str | None,
    org: str | None,
    now_us: int,
) -> ModelVerdict:
    """Return the verdict apart from bans: whether the model is on the list, or known if it must be."""
    models = terms.models
    listed = not skeletons.isdisjoint(_skeletons(models.allow))
    if listed or (not models.allow and (resolved.family is not None or models.unknown == "allow")):
        return ModelVerdict(True, "allowed", names[-1], resolved.family)
    entry = _exception_for(terms, skeletons, resolved.family, account, org, now_us)
    if entry is not None:
        return ModelVerdict(
            True, f"exception:{entry.who}", names[-1], resolved.family, until_us=entry.expires_us
        )
    if models.allow:
        message = f"{quote(names[0])} is not on the list of allowed models."
        return ModelVerdict(False, "models.allow", names[-1], resolved.family, message)
    message = f"{quote(names[0])} is not a known model, and the owner's terms allow only known models."
    return ModelVerdict(False, "models.unknown", names[-1], None, message)
