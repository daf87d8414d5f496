"""Kinds of honest use that people made from scratch can have."""

KINDS: dict[str, float] = {}
