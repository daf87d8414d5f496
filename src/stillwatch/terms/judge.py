"""Whether one name that the upstream is given may be used. It follows no alias and knows no request."""

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
    """The verdict on the last of `names`; those before it are what it was called on the way there."""
    name = names[-1]
    if len(name) > LONGEST_MODEL:
        return ModelVerdict(
            False, "models.name", name[:LONGEST_MODEL], reason="The model's name is too long."
        )
    found = _resolve(name)
    bones = frozenset(_skeleton(one) for one in names)
    until_us: int | None = None
    rule, warn = "allowed", ""
    for ban in terms.bans:
        how = reach(ban, found, names)
        if how is None or how == "allow":
            continue
        lifting = _lifting(terms, bones, ban.family, account, org, now_us)
        if lifting is not None:
            until_us = min(until_us or lifting.expires_us, lifting.expires_us)
            rule = f"exception:{lifting.who}" if rule == "allowed" else rule
            continue
        message = _message(ban, found, name)
        if how == "deny" and ban.prevent:
            return ModelVerdict(False, f"ban:{ban.family}", name, found.family, message)
        if not warn:
            rule, warn = f"ban:{ban.family}", message
    known = _known_verdict(terms, found, names, bones, account, org, now_us)
    if not known.allow:
        return known
    return ModelVerdict(
        True,
        known.rule if rule == "allowed" else rule,
        name,
        found.family,
        warn,
        warn or None,
        min((end for end in (until_us, known.until_us) if end is not None), default=None),
    )


def reach(ban: Ban, found: ResolvedName, names: tuple[str, ...]) -> str | None:
    """How a ban meets a model: "deny", "warn", "allow", or None where it does not."""
    if ban.models and not _skeletons(ban.models).isdisjoint(
        bones for name in names for bones in _parts(name)
    ):
        return "deny"
    if any(on_host(hosts_of(ban), piece) for piece in _pieces(found.name) if "." in piece):
        return "deny"
    for copy in (copy_of(name, model) for name in names for model in ban.models):
        if copy is not None:
            return _of_copy(ban, copy)
    if found.family == ban.family and not (found.relation is Relation.DISTILLED and not found.teachers):
        return "deny" if _is_included(ban, found) else None
    if ban.family in found.teachers and found.relation is Relation.MERGED:
        return "deny" if ban.merged else None
    if found.family == ban.family or ban.family in found.teachers:
        return ban.distilled
    return None


def _of_copy(ban: Ban, copy: Relation) -> str | None:
    """How a ban meets a copy of a model that it names itself."""
    if copy is Relation.DISTILLED:
        return ban.distilled
    return "deny" if _is_switched_on(ban, copy) else None


def _is_included(ban: Ban, found: ResolvedName) -> bool:
    """Whether the ban reaches this far from the maker's own weights on the maker's own service."""
    if found.host is not None and not ban.hosted_by_others and not _is_own_host(ban, found):
        return False
    return _is_switched_on(ban, found.relation)


def _is_switched_on(ban: Ban, relation: Relation) -> bool:
    switch = {
        Relation.FINETUNE: ban.finetune,
        Relation.DISTILLED: ban.finetune,  # of this family's weights, on another's answers
        Relation.QUANTIZED: ban.quantized,
        Relation.MERGED: ban.merged,
    }
    return switch.get(relation, True)  # SAME; and UNKNOWN, where nobody can say that it is not


def _is_own_host(ban: Ban, found: ResolvedName) -> bool:
    return found.host == ban.family or table().decide.get(found.host or "") == ban.family


@lru_cache(maxsize=8192)
def _pieces(name: str) -> tuple[str, ...]:
    """A name cut where hosts, owners and tags are joined on."""
    return tuple(fold_name(name).replace(":", "/").replace("@", "/").split("/"))


@lru_cache(maxsize=8192)
def _parts(name: str) -> frozenset[str]:
    """Skeletons of the whole name and of its pieces."""
    return frozenset(map(skeleton, (name, *_pieces(name)))) - {""}


def hosts_of(ban: Ban) -> tuple[str, ...]:
    """The hosts that a ban names, and those that the family's vendor serves it from."""
    vendors = _vendor_hosts(ban.family)
    return (*ban.hosts, *vendors) if ban.hosts else vendors


@lru_cache(maxsize=256)
def _vendor_hosts(name: str) -> tuple[str, ...]:
    family = table().families.get(name)
    hosts = family.hosts if family is not None else ()
    return (*hosts, *(f"*.{host}" for host in hosts))


def on_host(hosts: tuple[str, ...], host: str) -> bool:
    """Whether a host name is one of these; "*.example.com" is every name below example.com."""
    host = fold_name(host).rstrip(".")
    return any(host.endswith(one[1:]) if one.startswith("*.") else host == one for one in hosts)


def _message(ban: Ban, found: ResolvedName, name: str) -> str:
    reason = f"{quote(name)} is {_kinship(ban, found)}"
    return ban.message.replace("{model}", quote(name)[1:-1]).replace("{reason}", reason)


def quote(name: str) -> str:
    """A client's word as it may stand in a reply and its headers: short, ASCII, disguises visible."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")


def _kinship(ban: Ban, found: ResolvedName) -> str:
    if ban.family in found.teachers and found.relation is not Relation.MERGED:
        return f"a model trained on answers of the banned family {ban.family}."
    word = {
        Relation.FINETUNE: "a fine-tune of ",
        Relation.QUANTIZED: "a quantized copy of ",
        Relation.MERGED: "a merge with ",
        Relation.DISTILLED: "a model distilled from ",
    }.get(found.relation, "of ")
    return f"{word}the banned family {ban.family}."


def _lifting(
    terms: Terms, bones: frozenset[str], family: str | None, account: str | None, org: str | None, now_us: int
) -> ModelException | None:
    """The exception in force that lets this one use this model, the one that ends last."""
    fitting = [
        entry
        for entry in terms.exceptions
        if entry.expires_us > now_us
        and (entry.account == "*" or (entry.account or entry.org) == (account if entry.account else org))
        and (
            (family is not None and entry.family == family) or not bones.isdisjoint(_skeletons(entry.models))
        )
    ]
    return max(fitting, key=lambda entry: entry.expires_us, default=None)


def _known_verdict(
    terms: Terms,
    found: ResolvedName,
    names: tuple[str, ...],
    bones: frozenset[str],
    account: str | None,
    org: str | None,
    now_us: int,
) -> ModelVerdict:
    """Bans aside: is the model on the list, or known where it must be?"""
    models = terms.models
    listed = not bones.isdisjoint(_skeletons(models.allow))
    if listed or (not models.allow and (found.family is not None or models.unknown == "allow")):
        return ModelVerdict(True, "allowed", names[-1], found.family)
    entry = _lifting(terms, bones, found.family, account, org, now_us)
    if entry is not None:
        return ModelVerdict(
            True, f"exception:{entry.who}", names[-1], found.family, until_us=entry.expires_us
        )
    if models.allow:
        what = f"{quote(names[0])} is not among the models that may be used."
        return ModelVerdict(False, "models.allow", names[-1], found.family, what)
    what = f"{quote(names[0])} is not a known model, and the owner's terms allow known models only."
    return ModelVerdict(False, "models.unknown", names[-1], None, what)
