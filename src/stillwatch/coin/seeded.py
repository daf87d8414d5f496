"""Chooses the token that a seed gives, the same in any program and on any machine with the same scores.

With weights, prompt, settings and seed, anyone can generate an answer again. A counterfactual's seed depends
on data that did not exist when answers were served.

Null: seeds are hashes of data that nobody chose. Given prompt and weights, the served answer and the
counterfactuals are draws from one distribution: each could equally have been the served one.
Fooled by: anyone who knows the next answer's seed, and can choose a prompt for it.
Source: Gumbel 1954 for the maximum; Salmon et al. 2011 (Philox4x64-10) for counter-based random numbers.
"""

import hashlib

import numpy as np

SAMPLER = "gumbel-max, philox 1"  # another method must have another name
_SEED = b"stillwatch.coin.seed.1\n"
_BITS = 62  # of a seed: APIs accept signed 64-bit integers


def seed_of(origin: bytes, name: str, draw: int) -> int:
    """Return the seed of one draw for `name`. origin: a digest or a secret on which the seeds depend.

    >>> seed_of(bytes(32), "w0-000001/7", 1)
    2751500352061986535
    """
    digest = hashlib.sha256(_SEED + origin + f"\n{draw}\n{name}".encode())
    return int.from_bytes(digest.digest()[:8], "big") >> (64 - _BITS)


def gumbel_noise(seed: int, step: int, size: int) -> np.ndarray:
    """Return the noise of one token of one answer, one number for each word of the vocabulary. (size,)

    >>> [round(float(one), 6) for one in gumbel_noise(7, 0, 3)]
    [1.988639, -0.198475, 0.142407]
    """
    random = np.random.Generator(np.random.Philox(key=seed % (1 << 64), counter=[0, step, 0, 0]))
    return np.asarray(-np.log(-np.log(random.random(size) + 2.0**-54)))


def seeded_token(logprobs: np.ndarray, temperature: float, seed: int, step: int, top_p: float = 1.0) -> int:
    """Return the token that a seed chooses: over many seeds, a sample of the softmax at this temperature.

    logprobs: (vocabulary,). Two machines with slightly different scores mostly choose the same token, because
    the noise is the same.
    """
    scaled = np.asarray(logprobs, dtype=np.float64) / temperature
    if top_p < 1:
        p = np.exp(scaled - scaled.max())
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        scaled = scaled.copy()
        scaled[order[1:][before[1:] >= top_p * p.sum()]] = -np.inf
    return int(np.argmax(scaled + gumbel_noise(seed, step, len(scaled))))
