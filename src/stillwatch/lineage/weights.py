"""Compare two checkpoints: was one made from the other's weights, or both from the same?

The feed-forward units are compared in three ways, and the first that shows something decides:

1. *in place*: unit i of one beside unit i of the other, against all other pairs of units;
2. *reordered*: units matched by the weights that open them, and tested on what they write;
3. *turned*: the same after the embeddings of shared tokens aligned the axes of the residual stream.

Null (in place): the two were trained apart from different starting points. Training treats units alike, so
any order of one model's units is as likely as another (Zhu et al. 2025, arXiv 2502.12292): the statistic has
a known mean and variance over all orders (Hoeffding 1951, Ann. Math. Stat. 22), whatever data, tokenizer or
architecture both share. The other two comparisons have no exact null: their thresholds lie between the values
of models made for the purpose (docs/lineage.md); shared data alone makes first layers similar once turned.

Blind to: another hidden size; feed-forward layers trained anew; a model taught on the other's answers (that
is not a lineage of weights). Fooled by: two trainings from one starting point, such as the same seed in one
program: shown as the same lineage until training has washed it out.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stillwatch.lineage.checkpoint import CheckpointError, Floats, ModelCheckpoint, Units

SAMPLE = 256  # units of a layer that are compared
# Standard deviations of the null; models we trained apart: 3.4 at most in 720 pairs of layers.
IN_PLACE_Z = 8.0
LAYERS_SHARE = 1 / 8  # of the layers that must show it
REORDERED = 0.25  # correlation of matched units; models we trained apart: 0.02 at most (docs/lineage.md)
TURNED = 0.5  # the same with turned axes: models trained apart reach 0.36 in a first layer
TURNED_LOOK = "axes turned"  # a lead: its level was set on few models (docs/lineage.md)
TURNED_SHARE = 1 / 2  # of layers; beyond the first, models trained apart reach 0.14
LAYERS_LOOKED_AT = 8  # when each layer has to be matched with all of the other model's
SHARED_TOKENS = 2  # times the hidden size: fewer do not fix the axes
ROUNDING = 1e-4  # of a row's length: units that differ by less are the same, and the rest is rounding
SEED = 7  # chooses the units that are compared


class WeightsVerdict(StrEnum):
    """The conclusion of a comparison of weights."""

    SAME = "same weights lineage"
    NOT_SHOWN = "not shown"
    NO_JUDGEMENT = "could not judge"


@dataclass(frozen=True)
class WeightsComparison:
    """Two models compared. Tokenizer and shape show what is plausible; only weights decide."""

    one: str
    other: str
    verdict: WeightsVerdict
    how: str  # the comparison that decided, or why nothing could be judged
    layers: int  # that show it
    of_layers: int  # that were compared
    effect: float  # mean correlation of the units in the layers that show it; the highest where none does
    z: float  # of the comparison in place: the highest of all layers
    vocabulary_shared: float | None  # tokens in both, as a share of tokens in either
    merges_shared: float | None
    shape_differs: tuple[str, ...]


def compare_weights(one: ModelCheckpoint, other: ModelCheckpoint) -> WeightsComparison:
    """Return whether two models are of one weights lineage."""
    verdict, how, layers, of_layers, effect, z = WeightsVerdict.NO_JUDGEMENT, "", 0, 0, 0.0, 0.0
    try:
        if one.hidden != other.hidden:
            how = f"hidden sizes differ ({one.hidden:,} and {other.hidden:,}): their units cannot be compared"
        else:
            verdict, how, layers, of_layers, effect, z = _judge(one, other)
    except CheckpointError as why:
        how = str(why)
    differs = tuple(
        f"{what} {one.shape[what]} and {other.shape[what]}"
        for what in one.shape
        if one.shape[what] is not None and other.shape[what] is not None
        and one.shape[what] != other.shape[what]
    )  # fmt: skip
    return WeightsComparison(
        one.name, other.name, verdict, how, layers, of_layers, effect, z,
        _overlap(set(one.vocabulary), set(other.vocabulary)), _overlap(set(one.merges), set(other.merges)),
        differs,
    )  # fmt: skip


def _overlap(one: set[str], other: set[str]) -> float | None:
    return len(one & other) / len(one | other) if one and other else None


def _judge(
    one: ModelCheckpoint, other: ModelCheckpoint
) -> tuple[WeightsVerdict, str, int, int, float, float]:
    if len(one.names) > len(other.names):
        one, other = other, one
    effects, zs = _in_place(one, other)
    z, highest = float(zs.max()), float(effects.max())
    found, shown = effects[np.arange(len(zs)), zs.argmax(axis=1)], zs.max(axis=1) >= IN_PLACE_Z
    if shown.mean() >= LAYERS_SHARE:
        return (
            WeightsVerdict.SAME,
            "units in place",
            int(shown.sum()),
            len(shown),
            float(found[shown].mean()),
            z,
        )
    turn = _turn(one, other)
    looks = [("units reordered", None, REORDERED, LAYERS_SHARE), (TURNED_LOOK, turn, TURNED, TURNED_SHARE)]
    for how, axes, least, share in looks if turn is not None else looks[:1]:
        found = _match_reordered(one, other, axes)
        highest, shown = max(highest, float(found.max())), found >= least
        if shown.mean() >= share:
            return WeightsVerdict.SAME, how, int(shown.sum()), len(shown), float(found[shown].mean()), z
    return WeightsVerdict.NOT_SHOWN, "", 0, len(shown), highest, z


def _in_place(one: ModelCheckpoint, other: ModelCheckpoint) -> tuple[Floats, Floats]:
    """Return (layers, layers): correlation of units in place, and its z; 0 if the numbers of units differ."""
    sampled = [[_sample(model.units(key)) for key in model.layers] for model in (one, other)]
    effects = np.zeros((len(sampled[0]), len(sampled[1])), np.float32)
    zs = np.zeros_like(effects)
    for i, (units, mine) in enumerate(sampled[0]):
        for j, (theirs, yours) in enumerate(sampled[1]):
            if units == theirs and mine.shape == yours.shape:
                effects[i, j], zs[i, j] = in_place(mine, yours)
    return effects, zs


def in_place(mine: Floats, yours: Floats) -> tuple[float, float]:
    """Return the correlation of rows in place, and its distance from that of other orders, in sd."""
    mine, yours = mine - mine.mean(axis=0), yours - yours.mean(axis=0)
    products = (mine @ yours.T).astype(np.float64)  # its rows and columns now have the mean 0
    scale = float(np.sqrt((mine**2).sum() * (yours**2).sum()))
    spread = float(np.sqrt((products**2).sum() / max(1, len(products) - 1)))
    trace = float(np.trace(products))
    return (trace / scale, trace / spread) if scale > ROUNDING**2 * len(mine) and spread > 0 else (0.0, 0.0)


def _sample(units: Units) -> tuple[int, Floats]:
    """Return the number of units, and a fixed sample of them as rows of length 1 of all their weights."""
    n = len(units.read)
    rows = np.random.default_rng(SEED).permutation(n)[:SAMPLE]
    parts = [part for part in (units.gate, units.read, units.write) if part is not None]
    return n, np.concatenate([_unit(part[rows]) for part in parts], axis=1)


def _unit(rows: Floats, least: float = 0.0) -> Floats:
    """Return rows of length 1; zeros for rows no longer than `least`."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > least).astype(np.float32, copy=False)


def _match_reordered(one: ModelCheckpoint, other: ModelCheckpoint, turn: Floats | None) -> Floats:
    """Return how similar units, matched by what they read, are in what they write; one number per layer.

    In models with equally many layers, each layer is compared with its counterpart. Otherwise some layers of
    `one`, the shorter, are compared with the most similar of all layers of the other.
    """
    if len(one.names) == len(other.names):
        pairs = zip(one.layers, other.layers, strict=True)
        found = [_match(one.units(mine), other.units(yours), turn) for mine, yours in pairs]
        return np.array(found, np.float32)
    places = np.linspace(0, len(one.layers) - 1, min(LAYERS_LOOKED_AT, len(one.layers))).round().astype(int)
    some = [one.units(one.layers[place]) for place in places]
    likest = np.full(len(some), -1.0, np.float32)
    for key in other.layers:
        yours = other.units(key)
        likest = np.maximum(likest, [_match(mine, yours, turn) for mine in some]).astype(np.float32)
    return likest


def _match(mine: Units, yours: Units, turn: Floats | None) -> float:
    def laid(rows: Floats) -> Floats:
        return _centre(rows if turn is None else rows @ turn)

    rows = np.random.default_rng(SEED).permutation(len(mine.read))[:SAMPLE]
    opens = (mine.read, yours.read) if mine.gate is None or yours.gate is None else (mine.gate, yours.gate)
    nearest = (_centre(opens[0])[rows] @ laid(opens[1]).T).argmax(axis=1)
    alike = (_centre(mine.write)[rows] * laid(yours.write)[nearest]).sum(axis=1)
    if mine.gate is not None and yours.gate is not None:  # a unit may change its sign in both
        alike = alike * (_centre(mine.read)[rows] * laid(yours.read)[nearest]).sum(axis=1)
    return float(alike.mean())


def _centre(rows: Floats) -> Floats:
    """Return rows of length 1 without the units' common part, which models share once turned."""
    mean = rows.mean(axis=0)
    return _unit(rows - mean, ROUNDING * float(np.linalg.norm(mean)))


def _turn(one: ModelCheckpoint, other: ModelCheckpoint) -> Floats | None:
    """Return the rotation that aligns the other's embeddings with this one's; None without enough tokens."""
    shared = sorted(one.vocabulary.keys() & other.vocabulary.keys())
    few = SHARED_TOKENS * one.hidden
    if not one.embedding_name or not other.embedding_name or len(shared) < few:
        return None
    mine, yours = one.embedding(), other.embedding()
    places = [
        (a, b)
        for token in shared
        if (a := one.vocabulary[token]) < len(mine) and (b := other.vocabulary[token]) < len(yours)
    ]
    if len(places) < few:
        return None
    a, b = np.array(places).T
    left, _, right = np.linalg.svd(_unit(yours[b]).T @ _unit(mine[a]))
    turned: Floats = left @ right
    return turned
