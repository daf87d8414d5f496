"""The cost of one policy decision: `python benchmarks/decide.py`.

Only the pure functions are measured, in one process: no sockets, no look-up of keys.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from stillwatch.lineage.resolve import resolve
from stillwatch.terms import AccountUsage, EnforcementStatus, ModelVerdict, RequestFacts, Step, Terms
from stillwatch.terms.decide import decide, model_verdict, reply_verdict
from stillwatch.terms.load import loads

NOW_US = 1_790_000_030_000_000
FAMILIES = ("deepseek", "qwen", "kimi", "glm", "minimax", "yi", "ernie", "hunyuan", "doubao", "step")
NAMES = (
    "gpt-4o",
    "openai/gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-20250514",
    "azure_ai/MAI-DS-R1",
    "openrouter/deepseek/deepseek-r1-distill-llama-70b:free",
    "bedrock/us.meta.llama3-3-70b-instruct-v1:0",
    "our-own-llm",
    "team-fast",
)


def terms() -> Terms:
    """Build a large ordinary file: ten bans, limits with overrides, aliases, a thousand exceptions."""
    bans = "".join(f'[[ban]]\nfamily = "{family}"\n' for family in FAMILIES)
    exceptions = "".join(
        f'[[exception]]\naccount = "acct-{i}"\nmodels = ["deepseek-r1"]\nreason = "r"\napproved_by = "cio"\n'
        "expires = 2030-01-01\n"
        for i in range(1000)
    )
    accounts = "".join(f"[limits.account.acct-{i}]\nrequests_per_minute = {100 + i}\n" for i in range(1000))
    aliases = "[models.aliases]\n" + "".join(f'alias-{i} = "openai/gpt-4o-mini"\n' for i in range(200))
    limits = "[limits]\nrequests_per_minute = 600\noutput_tokens_per_hour = 500_000\nmax_n = 8\n"
    return loads(f"version = 1\n{limits}{accounts}{aliases}team-fast = 'gpt-4o'\n{bans}{exceptions}")


def measured(
    call: Callable[[int], object], times: int, prepare: Callable[[], None] | None = None
) -> dict[str, float]:
    """Return the CPU microseconds of one call."""
    taken = np.empty(times)
    for i in range(times):
        if prepare is not None:
            prepare()
        start = time.thread_time_ns()
        call(i)
        taken[i] = time.thread_time_ns() - start
    # The clock itself costs time: it is measured the same way and subtracted.
    idle = np.empty(2000)
    for i in range(len(idle)):
        start = time.thread_time_ns()
        idle[i] = time.thread_time_ns() - start
    p50, p99 = np.maximum(0, np.quantile(taken, [0.5, 0.99]) - np.median(idle)) / 1000
    return {"p50_us": round(float(p50), 2), "p99_us": round(float(p99), 2)}


def rows(times: int) -> dict[str, dict[str, float]]:
    large, plain = terms(), loads("version = 1")
    asks = [RequestFacts(f"acct-{i % 1000}", None, "chat", NAMES[i % len(NAMES)], n=1) for i in range(times)]
    others = [RequestFacts("somebody", None, "chat", NAMES[i % len(NAMES)], n=1) for i in range(times)]
    verdicts: dict[str, ModelVerdict] = {
        name: model_verdict(large, name, "somebody", NOW_US) for name in NAMES
    }
    spent, throttled = (
        AccountUsage(1, 10, 100, 1000),
        EnforcementStatus(Step.THROTTLE, 0, output_tokens_per_hour=5000),
    )
    rare = max(500, times // 20)
    return {
        "decide, no rules": measured(
            lambda i: decide(plain, None, others[i], verdicts["gpt-4o"], spent, NOW_US), times
        ),
        "decide, limits": measured(
            lambda i: decide(large, None, others[i], verdicts[others[i].model or ""], spent, NOW_US), times
        ),
        "decide, limits of its own": measured(
            lambda i: decide(large, None, asks[i], verdicts[asks[i].model or ""], spent, NOW_US), times
        ),
        "decide, throttled": measured(
            lambda i: decide(large, throttled, others[i], verdicts["gpt-4o"], spent, NOW_US), times
        ),
        "model verdict, name seen before": measured(
            lambda i: model_verdict(large, NAMES[i % len(NAMES)], "somebody", NOW_US), rare
        ),
        "model verdict, new name": measured(
            lambda i: model_verdict(large, f"{NAMES[i % len(NAMES)]}-{i}", "somebody", NOW_US), rare
        ),
        "reply verdict": measured(
            lambda i: reply_verdict(large, "gpt-4o", "gpt-4o-2024-08-06", "somebody", NOW_US), rare
        ),
        "resolve alone": measured(lambda i: resolve(f"{NAMES[i % len(NAMES)]}-{i}"), rare),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=40_000)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    found = rows(words.times)
    if words.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{'CPU µs':34}{'p50':>8}{'p99':>8}")
    for name, figures in found.items():
        print(f"{name:34}{figures['p50_us']:8.1f}{figures['p99_us']:8.1f}")


if __name__ == "__main__":
    main()
