"""Tool-using sessions, turn after turn: plans, calls and the use of their results.

Published: agentic coding, tool use and orchestration as targets (Anthropic, February 2026, Moonshot and
MiniMax). Made up: the tools, the results that are fed back, and one to six turns a session.
"""

from stillwatch.range.campaigns import CampaignPlan, Planned, PlannedRequest, Rng
from stillwatch.range.campaigns.asking import sessions, spread
from stillwatch.range.stock import Corpora

DEFAULTS = {"pipelines": ("tool_calls", "reasoning_sft_code"), "model": "mira-large", "visible_tokens": 350.0}
RESULTS = (
    "tool result: exit 0, {n} lines, last one empty", "tool result: {k} tests run, one failed in case {n}",
    'tool result: {{"rows": {n}, "page": {k}}}', "tool result: file has {n} lines; see line {k}",
    "tool result: timed out after {k} s", "tool result: not found (looked in {k} places)",
    "tool result: ok {n}",
)  # fmt: skip


def requests(plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float) -> Planned:
    turns = sessions(plan.exchanges, plan.accounts, 6, rng)
    items = corpora.draw(plan.pipelines, len(turns), rng)
    account, day = spread(plan, len(turns), rng)
    sent: Planned = []
    for talk, (count, item) in enumerate(zip(turns, items, strict=True)):
        who, when = int(account[talk]), float(day[talk])
        for turn in range(1, count + 1):
            form = RESULTS[rng.integers(len(RESULTS))]
            result = form.format(n=rng.integers(2, 900), k=rng.integers(2, 60))
            text = item.question if turn == 1 else result
            sent.append(PlannedRequest(who, when, text, turn=turn, talk=talk, tools=4 + who % 5))
            when += float(rng.uniform(4, 60)) / 86400
    return sent
