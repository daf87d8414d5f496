"""Texts to numbers: tokens, keyed hashes, lexical classes."""
