"""The coin: which of two answers was served, by a keyed, committed choice; and the ledger that keeps both."""
