"""The same stock, each prompt in a wrapper of its own.

Published: nothing; the evasion that a shared template invites. Made up: openings and closings.
"""

from stillwatch.range.campaigns.asking import dealt_out, wrap_items

requests = dealt_out(wrap_items)
