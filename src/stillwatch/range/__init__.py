"""The benchmark: scenes with known truth, and the scores of a scan on them."""
