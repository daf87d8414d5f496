"""Clues between accounts and the actors they add up to. It knows nothing of detectors."""
