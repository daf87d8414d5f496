"""Features of subjects in windows, as portable SQL. It knows nothing of guilt."""
