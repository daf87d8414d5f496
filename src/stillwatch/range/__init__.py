"""The benchmark: scenes with known truth, and how a scan is scored on them."""
