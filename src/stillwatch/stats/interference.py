"""Do some accounts react when others are refused? An exact test by re-drawing who was refused when.

It does not know what an account is, nor how the draw was made: `stillwatch.terms.holds` does.
"""

from dataclasses import dataclass

import numpy as np

DRAWS = 9_999  # the least p-value is one in this number and one


@dataclass(frozen=True)
class Interference:
    """What the focal accounts did in held blocks, beside the other blocks of the same windows."""

    p_value: float
    windows: int
    requests: int  # of focal accounts in held blocks
    expected: float  # in a block drawn at random from each window


def interference(counts: np.ndarray, held: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Interference:
    """Test whether focal accounts ask more while other accounts are held.

    counts: (windows, blocks, focal accounts) requests, refused ones too. held: (windows,) which block of each
    window was held, drawn uniformly and independently before anybody acted. Focal accounts are never held.

    The statistic is the sum, over held blocks and focal accounts, of the square root of the count, so that
    one account's burst weighs little. It is compared with the same sum for `draws` other assignments.

    Null: no focal account's requests depend on which blocks were held. The whole table `counts` is then fixed
        and `held` is uniform, whatever the traffic is like: (1 + draws as high) / (1 + draws) is a p-value of
        exact level. What held accounts do is not looked at, so their own retries and absences cannot
        mislead.
    Blind to: work that waits until its account is served again; work that was never given to a held account.
    Fooled by: an honest client that goes on with another of its own accounts (a team's failover, a
        reseller's balancer); a draw that was known in advance.
    Source: Athey, Eckles and Imbens 2018, "Exact p-values for network interference", J. Am. Stat. Assoc.
        113:230, https://arxiv.org/abs/1506.02084; Phipson and Smyth 2010 for the added one,
        https://arxiv.org/abs/1603.05766.

    >>> counts = np.ones((12, 8, 1), int)
    >>> counts[:, 3] = 4
    >>> interference(counts, np.full(12, 3)).p_value
    0.0001
    """
    windows, blocks, _ = counts.shape
    if windows == 0:
        return Interference(1.0, 0, 0, 0.0)
    scores = np.sqrt(counts).sum(axis=2)
    rows = np.arange(windows)
    drawn = np.random.default_rng(seed).integers(0, blocks, (draws, windows))
    observed = scores[rows, held].sum()
    as_high = int((scores[rows, drawn].sum(axis=1) >= observed - 1e-9).sum())  # sums in another order
    return Interference(
        (1 + as_high) / (1 + draws),
        windows,
        int(counts[rows, held].sum()),
        float(counts.sum() / blocks),
    )
