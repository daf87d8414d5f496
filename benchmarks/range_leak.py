"""How much of a campaign shows without content or linking: `python benchmarks/range_leak.py SCENE ...`.

Two linear classifiers on a composed scene, fitted on half of its accounts and tested on the other half: one
on facts about accounts (plan, country, mail, client, network, age, settings), one on the form of single
requests (model, tokens, turn, tools, end). An area under the curve of 0.5 is chance. High figures mean that
the composer gives campaigns away, or that these campaigns ask for something unusual; they are no measure of a
defence.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from stillwatch.range.compose import compose_scene
from stillwatch.range.scenes import read_scene

VISIBLE = ["model", "input_tokens", "output_tokens", "reasoning_tokens", "turn", "tools", "finish_reason"]
SETTINGS = ["temperature", "max_tokens", "stream", "asn", "user_agent"]


def area(label: np.ndarray, score: np.ndarray) -> float:
    """Compute the area under the curve, by ranks."""
    rank = pd.Series(score).rank().to_numpy()
    ones = label.sum()
    return float((rank[label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones)))


def fit(x: np.ndarray, label: np.ndarray, ridge: float, steps: int = 300) -> np.ndarray:
    """Fit a logistic regression with equal weight for both classes."""
    weight = np.where(label == 1, 0.5 / label.mean(), 0.5 / (1 - label.mean()))
    slope = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ slope, -30, 30)))
        slope -= x.T @ (weight * (p - label)) / len(label) + ridge * slope
    return slope


def tested(table: pd.DataFrame, label: np.ndarray, train: np.ndarray, ridge: float) -> float:
    """Fit on one half, score the other."""
    x = table.astype(float)
    x = (x - x.mean()) / (x.std() + 1e-9)
    x.insert(0, "one", 1.0)
    values = x.to_numpy()
    return area(label[~train], values[~train] @ fit(values[train], label[train], ridge))


def leaks(folder: Path, clean_days: int) -> tuple[float, float]:
    """Return areas for accounts and for single requests, after the clean days."""
    about = pq.read_table(folder / "accounts.parquet").to_pandas().set_index("account")
    truth = pq.read_table(folder / "truth.parquet").to_pandas().set_index("account")
    log = pq.read_table(
        folder / "exchanges.parquet", columns=["account", "time", *VISIBLE, *SETTINGS]
    ).to_pandas()
    log = log[(log.time - log.time.min()).dt.days >= clean_days]
    guilty = truth.campaign.notna().astype(int)
    half = pd.Series(np.random.default_rng(0).random(len(truth)) < 0.5, index=truth.index)
    tokens = np.log1p(log[["input_tokens", "output_tokens", "reasoning_tokens", "turn", "tools"]])
    rows = pd.concat(
        [pd.get_dummies(log.model), tokens, pd.get_dummies(log.finish_reason.fillna("none"))], axis=1
    )
    one = log.groupby("account")[SETTINGS].first().join(about)
    plain = [
        one.temperature.isna(),
        one.max_tokens.fillna(0) / 1e4,
        one.stream,
        one.org.isna(),
        one.payment.isna(),
    ]
    named = [one.tier, one.country, one.email_domain.str.replace(r"d[0-9a-f]{6}", "d", regex=True),
             one.user_agent.str.replace(r"[\d.]+", "", regex=True), one.asn]  # fmt: skip
    age = np.log1p((one.created.max() - one.created).dt.days)
    accounts = pd.concat([*(pd.get_dummies(c) for c in named), *plain, age], axis=1)
    return (
        tested(accounts, guilty[one.index].to_numpy(), half[one.index].to_numpy(), 0.1),
        tested(rows, guilty[log.account].to_numpy(), half[log.account].to_numpy(), 0.01),
    )


def main() -> None:
    """Print one line for each scene."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name in given.scenes:
        scene = read_scene(name)
        with tempfile.TemporaryDirectory() as work:
            account, request = leaks(compose_scene(scene, given.seed, Path(work)), scene.clean_days)
        print(f"{scene.name:20} accounts {account:.2f}  single requests {request:.2f}", flush=True)


if __name__ == "__main__":
    main()
