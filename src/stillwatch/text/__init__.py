"""Texts to numbers: tokens, keyed hashes, lexical classes. It knows nothing of accounts or logs."""
