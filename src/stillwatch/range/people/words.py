"""Wordings around honest texts: templates, system prompts, topics. They are in words.toml.

All of it was written for the composer.
"""

from stillwatch.range.texts import read_texts

_TEXTS = read_texts("people/words.toml")
PUBLIC: tuple[str, ...] = _TEXTS["public"]
NEW: tuple[str, ...] = _TEXTS["new"]
VIRAL: tuple[str, ...] = _TEXTS["viral"]
LESSON_HEADS: tuple[str, ...] = _TEXTS["lesson_heads"]
FOLLOWS: tuple[str, ...] = _TEXTS["follows"]
OWN_JOBS: tuple[str, ...] = _TEXTS["own_jobs"]
OWN_FRAMES: tuple[str, ...] = _TEXTS["own_frames"]
NAMES_A: tuple[str, ...] = _TEXTS["names_a"]
NAMES_B: tuple[str, ...] = _TEXTS["names_b"]
SYSTEMS: tuple[str, ...] = _TEXTS["systems"]
ROLES: tuple[str, ...] = _TEXTS["roles"]
RULES: tuple[str, ...] = _TEXTS["rules"]
LABELS: tuple[str, ...] = _TEXTS["labels"]
TOPICS: tuple[str, ...] = _TEXTS["topics"]
ESSAYS: tuple[str, ...] = _TEXTS["essays"]
READERS: tuple[str, ...] = _TEXTS["readers"]
EXTRAS: tuple[str, ...] = _TEXTS["extras"]
CHECKS: tuple[str, ...] = _TEXTS["checks"]
