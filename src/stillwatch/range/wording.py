"""Attack texts of our own: templates, wrappers, rubrics, probes.

All of it was written for the composer, so that composed worlds share no wording with the development scenes.
It is in wording.toml, beside this file. `{q}` is the question or passage, `{a}` an answer to it.
"""

from stillwatch.range.texts import read_texts

_TEXTS = read_texts("wording.toml")
TEMPLATES: dict[str, tuple[str, ...]] = _TEXTS["templates"]
OPENINGS: dict[str, tuple[str, ...]] = _TEXTS["openings"]
CLOSINGS: dict[str, tuple[str, ...]] = _TEXTS["closings"]
FOLLOW_UPS: tuple[str, ...] = _TEXTS["follow_ups"]
SYSTEMS: tuple[str, ...] = _TEXTS["systems"]
RUBRICS: tuple[str, ...] = _TEXTS["rubrics"]
MAKERS: dict[str, str] = _TEXTS["makers"]
PROBE_HEADS: tuple[str, ...] = _TEXTS["probe_heads"]
PROBE_TWISTS: tuple[str, ...] = _TEXTS["probe_twists"]
ANSWER_STARTS: tuple[str, ...] = _TEXTS["answer_starts"]
ANSWER_MIDDLES: tuple[str, ...] = _TEXTS["answer_middles"]
ANSWER_ENDS: tuple[str, ...] = _TEXTS["answer_ends"]
TOOLS: tuple[tuple[str, str], ...] = _TEXTS["tools"]
