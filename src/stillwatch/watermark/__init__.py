"""Marks put into sampled text with a key, and found again: one formula for generator and detector."""
