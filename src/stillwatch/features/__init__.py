"""Features of subjects in windows, as portable SQL."""
