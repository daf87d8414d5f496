"""Converts texts to numbers: tokens, keyed hashes, lexical classes."""
