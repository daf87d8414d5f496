"""Which token a seed gives, the same in any program and on any machine that predicts the same scores.

With weights, prompt, settings and seed an answer can be drawn again by somebody else. A counterfactual's seed
depends on what was not there when answers were served. It knows no model: who has the scores asks.

Null: seeds are hashes of what nobody chose. Given prompt and weights, the served answer and the
counterfactuals are draws of one distribution: any of them could have been the served one, with equal chance.
Fooled by: who knows the seed of the next answer knows the answer, and can choose the prompt.
Source: Gumbel 1954 for the maximum; Salmon et al. 2011 (Philox4x64-10) for numbers that are counted.
"""

import hashlib

import numpy as np

SAMPLER = "gumbel-max, philox 1"  # another way to choose has another name
_SEED = b"stillwatch.coin.seed.1\n"
_BITS = 62  # of a seed: APIs take whole numbers of 64 bits with a sign


def seed_of(origin: bytes, name: str, draw: int) -> int:
    """The seed of one draw for what `name` names. origin: a digest or a secret that the seeds depend on.

    >>> seed_of(bytes(32), "w0-000001/7", 1)
    2751500352061986535
    """
    digest = hashlib.sha256(_SEED + origin + f"\n{draw}\n{name}".encode())
    return int.from_bytes(digest.digest()[:8], "big") >> (64 - _BITS)


def gumbel_noise(seed: int, step: int, size: int) -> np.ndarray:
    """The noise of one token of one answer, a number for each word of the vocabulary. (size,)

    >>> [round(float(one), 6) for one in gumbel_noise(7, 0, 3)]
    [1.988639, -0.198475, 0.142407]
    """
    random = np.random.Generator(np.random.Philox(key=seed % (1 << 64), counter=[0, step, 0, 0]))
    return np.asarray(-np.log(-np.log(random.random(size) + 2.0**-54)))


def seeded_token(logprobs: np.ndarray, temperature: float, seed: int, step: int, top_p: float = 1.0) -> int:
    """The token that a seed chooses: a draw of the softmax at this temperature, over many seeds.

    logprobs: (vocabulary,). Where two machines predict slightly other scores, they mostly choose the same
    token, because the noise is the same for both.
    """
    scaled = np.asarray(logprobs, dtype=np.float64) / temperature
    if top_p < 1:
        p = np.exp(scaled - scaled.max())
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        scaled = scaled.copy()
        scaled[order[1:][before[1:] >= top_p * p.sum()]] = -np.inf
    return int(np.argmax(scaled + gumbel_noise(seed, step, len(scaled))))
