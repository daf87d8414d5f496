"""A scan's result for people and programs: terminal, JSON, one page."""
