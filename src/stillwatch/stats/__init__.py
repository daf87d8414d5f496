"""Statistics that the rooms above share: conformal p-values, false discovery rate, bounds. It knows nothing of exchanges."""
