"""A resold service: a minority of each account's traffic is the campaign, the rest is honest talk (`cover`).

Published: one proxy network of over 20,000 accounts mixed distillation with unrelated requests of its
customers (Anthropic, February 2026). Made up: the share of cover and that customers' talk is like
everybody's.
"""

from stillwatch.range.campaigns.asking import dealt_out, wrap_items

DEFAULTS = {"cover": 0.65}
requests = dealt_out(wrap_items)
