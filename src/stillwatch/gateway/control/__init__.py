"""Access and enforcement: keys, enforcement statuses, the ladder, proposals."""
