"""The verbs of this distribution: its entry points under `stillwatch.commands` name them."""
