"""A model name -> `ResolvedName`: whose weights, how they were derived, whose answers they were trained on.

Only names and the table are read: a model renamed without a trace stays unknown, and a false name is
believed. Words are matched at their boundaries, so "deep-seeker-travel" is not DeepSeek.
"""

from stillwatch.lineage import Relation, ResolvedName
from stillwatch.lineage.hits import Hit, find
from stillwatch.lineage.parts import NamePart, parts
from stillwatch.lineage.skeleton import skeleton
from stillwatch.lineage.table import LineageEntry, LineageTable, table

# What a name says was done to the weights: the first of these that occurs is the relation.
STRENGTH = (Relation.DISTILLED, Relation.MERGED, Relation.FINETUNE, Relation.QUANTIZED)
CLOSED = 2  # weights that nobody outside has, hence never a student's base


def resolve(name: str) -> ResolvedName:
    """Return which family a model name belongs to, and how the model was derived from it.

    Pure, and linear in the name's length.

    >>> found = resolve("deepinfra/deepseek-ai/DeepSeek-R1-Distill-Qwen-32B")
    >>> found.family, found.relation.value, found.teachers, found.host
    ('qwen', 'distilled', ('deepseek',), 'deepinfra')
    >>> resolve("deepthink-translator").family is None
    True
    """
    known = table()
    pieces = parts(name)
    host, path = _host(pieces, known)
    words = frozenset(word for piece in pieces for word in piece.words)
    for piece in reversed(path):
        if hits := find(piece, words, known):
            return _resolve_part(name, piece, hits, host, known)
    if host is not None and (family := known.decide.get(host)):
        return ResolvedName(
            name,
            skeleton(name),
            family,
            Relation.SAME,
            base=family,
            vendor=known.families[family].vendor,
            host=host,
            evidence=f'"{host}/" is the prefix of the API of {known.families[family].vendor} itself.',
        )
    nothing = "No word of the lineage table is in this name."
    return ResolvedName(name, skeleton(name), None, Relation.UNKNOWN, host=host, evidence=nothing)


def _host(pieces: list[NamePart], known: LineageTable) -> tuple[str | None, list[NamePart]]:
    """Return who serves it, if the beginning of the path says so; and the path without that."""
    if not pieces:
        return None, pieces
    if len(pieces) > 1 and (host := known.hosts.get(pieces[0].bones)):
        return host, pieces[1:]
    scheme, colon, path = pieces[0].text.partition(":")
    if colon and (host := known.hosts.get(skeleton(scheme))):
        return host, pieces
    # arn:aws:bedrock:us-east-1::foundation-model/deepseek.r1-v1:0
    if scheme == "arn" and path.startswith("aws:"):
        return known.hosts.get(skeleton(path.split(":")[1])), pieces
    if len(pieces) > 1 and pieces[0].bones == "accounts":  # accounts/fireworks/models/deepseek-r1
        return known.hosts.get(pieces[1].bones), pieces
    if pieces[0].bones == "projects" and any(piece.bones == "publishers" for piece in pieces):
        return "vertex_ai", pieces
    return None, pieces


def _resolve_part(
    name: str, piece: NamePart, hits: list[Hit], host: str | None, known: LineageTable
) -> ResolvedName:
    """Interpret all hits of the part that names the model."""
    claimed = _strongest_relation(piece, known)
    derived = max(
        (hit for hit in hits if hit.entry.derived), key=lambda hit: hit.end - hit.start, default=None
    )
    if derived is not None:
        family, teachers, relation = _of_derived(derived.entry, piece, hits, claimed)
        decided = derived.entry
    else:
        family, teachers, relation, decided = _of_families(piece, hits, claimed, known)
    vendor = decided.vendor or (known.families[family].vendor if family is not None else None)
    return ResolvedName(
        name,
        skeleton(name),
        family,
        relation,
        base=decided.id,
        teachers=teachers,
        vendor=vendor,
        host=host,
        evidence=_evidence(piece, decided, family, teachers, relation),
    )


def _strongest_relation(piece: NamePart, known: LineageTable) -> Relation:
    """Return the strongest treatment of the weights that a part names."""
    treatments = {known.treatments[word] for word in piece.words if word in known.treatments}
    if piece.is_quantized():
        treatments.add(Relation.QUANTIZED)
    return next((relation for relation in STRENGTH if relation in treatments), Relation.SAME)


def _of_derived(
    entry: LineageEntry, piece: NamePart, hits: list[Hit], claimed: Relation
) -> tuple[str | None, tuple[str, ...], Relation]:
    """Resolve somebody else's model: the table has its sources, but the name may give the base better."""
    family = _by_size(entry, piece) or entry.family
    mentioned = [hit.entry for hit in hits if not hit.entry.derived]
    if entry.named:
        family = next((other.family for other in mentioned if other.base != CLOSED), family)
    return family, entry.teachers, entry.relation


def _of_families(
    piece: NamePart, hits: list[Hit], claimed: Relation, known: LineageTable
) -> tuple[str | None, tuple[str, ...], Relation, LineageEntry]:
    """Resolve a name made of families only: one is the weights, the others were their teachers."""
    entries = list({hit.entry.family: hit.entry for hit in reversed(hits)}.values())[::-1]
    first = entries[0]
    if len(entries) > 1:
        base = _base(piece, hits, entries, claimed)
        others = tuple(entry.family for entry in entries if entry is not base and entry.family is not None)
        if claimed is Relation.DISTILLED or any(entry.base > 0 for entry in entries if entry is not base):
            relation = Relation.MERGED if claimed is Relation.MERGED else Relation.DISTILLED
            return base.family, others, relation, first if first.sizes else base
        return base.family, (), Relation.FINETUNE if claimed is Relation.SAME else claimed, base
    if by_size := _by_size(first, piece):
        return by_size, (str(first.family),), Relation.DISTILLED, first
    if claimed is Relation.DISTILLED and first.base > 0:  # "deepseek-distill" does not say whose weights
        return None, (str(first.family),), claimed, first
    return first.family, (), claimed, first


def _base(piece: NamePart, hits: list[Hit], entries: list[LineageEntry], claimed: Relation) -> LineageEntry:
    """Return the family whose weights a name of several families means."""
    if claimed is Relation.DISTILLED:
        for word in ("distilled", "distill", "distil"):
            at = piece.bones.find(word)
            after = next((hit.entry for hit in hits if hit.start == at + len(word) and at > 0), None)
            if after is not None and after.base != CLOSED:
                return next(entry for entry in entries if entry.family == after.family)
    return min(entries, key=lambda entry: entry.base)  # the first of equals


def _by_size(entry: LineageEntry, piece: NamePart) -> str | None:
    """Return the family that a product line is built on in the size that the name gives."""
    sizes = dict(entry.sizes)
    return next((sizes[size] for size in piece.sizes_b() if size in sizes), None)


def _evidence(
    piece: NamePart, decided: LineageEntry, family: str | None, teachers: tuple[str, ...], relation: Relation
) -> str:
    taught = f", trained on answers of {' and '.join(teachers)}" if teachers else ""
    weights = f"{family} weights" if family else "weights of a family it does not say"
    how = "" if relation is Relation.SAME else f" ({relation.value})"
    return f'"{piece.text}" says {decided.id}: {weights}{how}{taught}. Source: {decided.source}.'
