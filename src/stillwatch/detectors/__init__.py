"""Statements about subjects, one file each. It knows nothing of actors' making."""
