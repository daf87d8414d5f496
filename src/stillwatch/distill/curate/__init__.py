"""Selects the answers that a student should see: each filter reports how many it dropped, and why."""
