"""`stillwatch case`: each module has some of its verbs, or what they share."""

from stillwatch.cli.case.reading import app

__all__ = ["app"]
