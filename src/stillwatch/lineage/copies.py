"""Whether a name means a copy of one given model, which the table need not know.

A name means a copy if one of its segments holds only the model's own name and words for a treatment of the
weights or their format. "acme-7b-mini" counts as another model, and so does a renamed copy.
"""

import re
from functools import lru_cache

from stillwatch.lineage import Relation
from stillwatch.lineage.parts import LLAMA_CPP_TYPE
from stillwatch.lineage.resolve import STRENGTH
from stillwatch.lineage.skeleton import fold_name, skeleton
from stillwatch.lineage.table import table

# By the same maker, or by anyone: how it is tuned to answer, and where it is offered.
FORMS = frozenset(("base", "chat", "free", "hf", "instruct", "it", "latest"))
_SEGMENT = re.compile(r"[/\\]+")
_WORD = re.compile(r"[a-z0-9]+")


@lru_cache(maxsize=8192)
def copy_of(name: str, model: str) -> Relation | None:
    """Return how a name means a copy of a model: same weights, or what was done to them. None: not a copy.

    >>> copy_of("nimbus/Acme-7B-Instruct-GGUF", "acme-7b").value
    'quantized'
    >>> copy_of("acme-7b-mini", "acme-7b") is None
    True
    """
    wanted = skeleton(model)
    for segment in reversed(_SEGMENT.split(fold_name(name))):
        plain = LLAMA_CPP_TYPE.sub(" ", segment)
        words = _WORD.findall(plain)
        remainder = _rest(words, wanted)
        if remainder is None:
            continue
        known = table().treatments
        if all(word in FORMS or word in known for word in remainder):
            relations = {known[word] for word in remainder if word in known}
            relations |= {Relation.QUANTIZED} if plain != segment else set()
            return next((relation for relation in STRENGTH if relation in relations), Relation.SAME)
    return None


def _rest(words: list[str], wanted: str) -> list[str] | None:
    """Return the words besides those that make up the wanted one; None if none do."""
    for start in range(len(words)):
        joined = ""
        for end in range(start, len(words)):
            joined += words[end]
            if joined == wanted:
                return words[:start] + words[end + 1 :]
            if len(joined) >= len(wanted):
                break
    return None
