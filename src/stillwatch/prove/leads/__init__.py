"""Leads: similarities worth a look, as scores without p-values. Where to look next, and nothing that accuses.

The ceiling is `prove.Evidence`'s: grade C with a p-value cannot be made. It knows no lineage.
"""
