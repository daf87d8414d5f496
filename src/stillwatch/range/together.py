"""The old place of `defences.registry.defence`, which knows names with a plus."""

from stillwatch.range.defences.registry import defence as defence_of

__all__ = ["defence_of"]
