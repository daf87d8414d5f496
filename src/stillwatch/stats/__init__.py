"""Statistics shared by other packages: tails of choices within groups, combined p-values, fast grouping."""
