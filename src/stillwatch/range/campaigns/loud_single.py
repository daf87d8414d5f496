"""One account, or very few, run a published pipeline unchanged.

Published: the pipelines (Alpaca, Orca, OpenThoughts and others) say in their own code what they send. Made
up: that one account sends all of it. Any per-account limit sees this campaign.
"""

from stillwatch.range.campaigns.asking import as_it_is, dealt_out

DEFAULTS = {"accounts": 1}
requests = dealt_out(as_it_is, as_published=True)
