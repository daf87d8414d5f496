"""Wrapped prompts on honest accounts whose keys were stolen, while the owner's own traffic continues.

Published: stolen keys resold as access to hosted models (reported since 2024 as LLM-jacking). Made up:
that every key of the pool is stolen (`stolen` sets the share), which accounts are hit, and that the thief
takes a few requests from each. Only in scenes composed among honest people; the account's history is its
owner's.
"""

from stillwatch.range.campaigns.asking import dealt_out, wrap_items

DEFAULTS = {"stolen": 1.0}
requests = dealt_out(wrap_items)
