"""A scan's result for people and programs: terminal, JSON, one page. It knows nothing of how it was found."""
