"""Leads: similarities worth examining, as scores without p-values. They accuse nobody.

`prove.Evidence` enforces it: evidence of grade C with a p-value cannot be made.
"""
