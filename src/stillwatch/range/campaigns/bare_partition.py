"""One distribution split over many accounts: no two ask the same, and no words are added.

Published: Anthropic (February 2026) saw load balancing over accounts with identical patterns; complementary
parts of one data set are what a task queue leaves behind. Made up: the absence of any shared wording.
"""

from stillwatch.range.campaigns.asking import as_it_is, dealt_out

requests = dealt_out(as_it_is, as_published=True)
