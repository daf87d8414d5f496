"""One template around every item, over many accounts.

Published: Anthropic (February 2026), identical prompt patterns over accounts. Made up: the templates.
"""

from stillwatch.range.campaigns.asking import dealt_out, template

requests = dealt_out(template)
