"""Statistics that other packages share: tails of choices within groups, combined p-values, fast grouping."""
