"""Two checkpoints -> whether one was made from the other's weights, or both from one.

Three looks at the feed-forward units, the first that shows something decides:

1. *in place*: unit i of one beside unit i of the other, against all other pairs of units;
2. *reordered*: units matched by what opens them, and tested on what they write;
3. *turned*: the same after the stream's axes were laid on each other by the embeddings of shared tokens.

Null (in place): the two were trained apart from different starting points. Training treats units alike, so
any order of one model's units is as likely as another (Zhu et al. 2025, arXiv 2502.12292): the statistic has
a known mean and variance over all orders (Hoeffding 1951, Ann. Math. Stat. 22), whatever the data, the
tokenizer or the architecture that both share. The other two looks have no exact null: their thresholds lie
between what made models showed (docs/lineage.md); shared data alone makes first layers alike once turned.

Blind to: another hidden size; feed-forward layers made anew; a model taught on the other's answers (that is
no lineage of weights). Fooled by: one starting point for two trainings, the same seed in one program: it is
shown as the same lineage until training has washed it out.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stillwatch.lineage.checkpoint import CheckpointError, Floats, ModelCheckpoint, Units

SAMPLE = 256  # units of a layer that are looked at
# standard deviations of the null; made models trained apart: 3.4 at most in 720 pairs of layers
IN_PLACE_Z = 8.0
LAYERS_SHARE = 1 / 8  # of the layers that have to show it
REORDERED = 0.25  # correlation of matched units; made models trained apart: 0.02 at most (docs/lineage.md)
TURNED = 0.5  # the same with turned axes: models trained apart come to 0.36 in a first layer
TURNED_LOOK = "axes turned"  # a lead: its level was set on few models (docs/lineage.md)
TURNED_SHARE = 1 / 2  # and to 0.14 in the others
LAYERS_LOOKED_AT = 8  # where each layer has to be matched with all of the other model's
SHARED_TOKENS = 2  # times the hidden size: fewer do not fix the axes
ROUNDING = 1e-4  # of a row's length: units that differ by less are one, and what is left of them is rounding
SEED = 7  # which units are looked at


class WeightsVerdict(StrEnum):
    """What a comparison of weights says."""

    SAME = "same weights lineage"
    NOT_SHOWN = "not shown"
    NO_JUDGEMENT = "could not judge"


@dataclass(frozen=True)
class WeightsComparison:
    """Two models beside each other. Tokenizer and shape say what is plausible; only weights decide."""

    one: str
    other: str
    verdict: WeightsVerdict
    how: str  # the look that decided, or why nothing could be judged
    layers: int  # that show it
    of_layers: int  # that were looked at
    effect: float  # mean correlation of the units in the layers that show it; the highest where none does
    z: float  # of the look in place: the highest of all layers
    vocabulary_shared: float | None  # tokens in both, of tokens in either
    merges_shared: float | None
    shape_differs: tuple[str, ...]


def compare_weights(one: ModelCheckpoint, other: ModelCheckpoint) -> WeightsComparison:
    """Say whether two models are of one weights lineage."""
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
    """(layers, layers): correlation of units in one place, and its z; 0 where the numbers of units differ."""
    sampled = [[_sample(model.units(key)) for key in model.layers] for model in (one, other)]
    effects = np.zeros((len(sampled[0]), len(sampled[1])), np.float32)
    zs = np.zeros_like(effects)
    for i, (units, mine) in enumerate(sampled[0]):
        for j, (theirs, yours) in enumerate(sampled[1]):
            if units == theirs and mine.shape == yours.shape:
                effects[i, j], zs[i, j] = in_place(mine, yours)
    return effects, zs


def in_place(mine: Floats, yours: Floats) -> tuple[float, float]:
    """Correlation of rows in one place, and how far it is from what other orders of the rows give, in sd."""
    mine, yours = mine - mine.mean(axis=0), yours - yours.mean(axis=0)
    products = (mine @ yours.T).astype(np.float64)  # its rows and columns now have the mean 0
    scale = float(np.sqrt((mine**2).sum() * (yours**2).sum()))
    spread = float(np.sqrt((products**2).sum() / max(1, len(products) - 1)))
    trace = float(np.trace(products))
    return (trace / scale, trace / spread) if scale > ROUNDING**2 * len(mine) and spread > 0 else (0.0, 0.0)


def _sample(units: Units) -> tuple[int, Floats]:
    """How many units there are, and some of them, always the same, as rows of length 1 in all they do."""
    n = len(units.read)
    rows = np.random.default_rng(SEED).permutation(n)[:SAMPLE]
    parts = [part for part in (units.gate, units.read, units.write) if part is not None]
    return n, np.concatenate([_unit(part[rows]) for part in parts], axis=1)


def _unit(rows: Floats, least: float = 0.0) -> Floats:
    """Rows of length 1; of zeros where they are no longer than `least`."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > least).astype(np.float32, copy=False)


def _match_reordered(one: ModelCheckpoint, other: ModelCheckpoint, turn: Floats | None) -> Floats:
    """How alike units are in what they write, when they were matched by what they read; a number a layer.

    Of models with as many layers, each layer beside its twin. Else some layers of `one`, the shorter, each
    beside the likest of all layers of the other.
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
    """Rows of length 1, less what all units have in common: models trained apart share that once turned."""
    mean = rows.mean(axis=0)
    return _unit(rows - mean, ROUNDING * float(np.linalg.norm(mean)))


def _turn(one: ModelCheckpoint, other: ModelCheckpoint) -> Floats | None:
    """The turn of the other's axes that lays its embeddings on this one's; None without enough tokens."""
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
