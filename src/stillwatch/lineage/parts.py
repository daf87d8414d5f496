"""A model name split into path segments, with the places in each where words begin and end."""

import re
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote

from stillwatch.lineage.skeleton import fold_name

_ATOM = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SPLIT = re.compile(r"[/\\]+")
_WORD = re.compile(r"[a-z0-9]+")
# "70b", "1.5b", "1p5b" (Fireworks writes p for the point), "0.5B"; "8x22b" is the 22.
_SIZE = re.compile(r"(?<![a-z0-9.])(?:\d+x)?(\d+(?:[.p]\d+)?)b(?![a-z0-9])")
# llama.cpp's quantisation types: Q4_K_M, IQ2_XXS, Q8_0 (github.com/ggml-org/llama.cpp, tools/quantize, 2025)
LLAMA_CPP_TYPE = re.compile(r"(?<![a-z0-9])i?q[1-8]_(?:[0-9]|k_[a-z]+|k|xxs|xs|s|m|nl)(?![a-z0-9])")
LONGEST_SUFFIX = 24  # what follows a family's name without a boundary is not read beyond this


@dataclass(frozen=True)
class NamePart:
    """One segment of a name's path."""

    text: str  # folded, with separators
    bones: str  # letters and digits only
    starts: frozenset[int]  # where in `bones` a run of letters or digits begins
    humps: frozenset[int]  # and where a capital follows a small letter
    words: frozenset[str]

    def is_edge(self, at: int) -> bool:
        """Return whether a word begins or ends at this place of `bones`."""
        return at in self.starts or at in self.humps or at == len(self.bones)

    def rest_of_run(self, at: int) -> str:
        """Return the rest of the run of letters or digits from this place on; a long rest is cut."""
        end = at + 1
        while end < len(self.bones) and end not in self.starts and end - at <= LONGEST_SUFFIX:
            end += 1
        return self.bones[at:end]

    def sizes_b(self) -> list[str]:
        """Return the billions of parameters that it names, as written with a point."""
        return [size.replace("p", ".") for size in _SIZE.findall(self.text)]

    def is_quantized(self) -> bool:
        """Return whether it ends in a llama.cpp quantisation type."""
        return bool(LLAMA_CPP_TYPE.search(self.text))


def parts(name: str) -> list[NamePart]:
    """Split a name at its slashes; the last part is nearest to the model.

    >>> [part.bones for part in parts("azure_ai/MAI-DS-R1")]
    ['azureai', 'maidsr1']
    """
    if "%" in name:
        name = unquote(name)
    return [part for piece in _SPLIT.split(name) if (part := _part(piece)).bones]


def _part(piece: str) -> NamePart:
    text = fold_name(piece)
    runs: list[str] = []
    starts: list[int] = []
    length = 0
    for atom in _ATOM.finditer(text):
        starts.append(length)
        runs.append(atom.group())
        length += len(runs[-1])
    humps: list[int] = []
    if piece.isascii():
        # Folding ASCII keeps lengths: places in the text are places in the original name.
        before = list(accumulate(map(str.isalnum, piece)))
        humps = [before[hump.start() - 1] for hump in _CAMEL.finditer(piece)]
    return NamePart(text, "".join(runs), frozenset(starts), frozenset(humps), frozenset(_WORD.findall(text)))
