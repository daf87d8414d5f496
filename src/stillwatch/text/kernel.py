"""One linear pass over a text: tokens, keyed hashes, a sample of its phrases. The work is done by C kernels.

A text is UTF-8 bytes. Tokens are words (runs of letters, ASCII lowered), numbers (runs of digits), single
punctuation marks and single characters of scripts written without spaces. Numbers, links and very long words
are masked in the search for templates.
"""

import numpy as np

from stillwatch.compiled_code.library import constant, kernels

PHRASES = 12  # phrases kept per text: the smallest hashes, so that equal phrases are kept in every text
EDGE = constant("EDGE")  # tokens of a head or a tail
LONG = constant("LONG_WORD")  # bytes: a longer word is a blob (an id, base64) and masked
ROOM = constant("ROOM")  # tokens read in full; of a longer text half from each end
CONTENT = 24  # words kept per text; 12 or 16 left a pool of seven accounts undecided (docs/lab.md)
SHORT = constant("SHORT_WORD")  # bytes: a shorter word is mostly grammar and not kept as a content word
CONTEXT_BITS = constant("CONTEXT_BITS")  # of a content word's 32 bits: for the two tokens beside it

FNV = np.uint64(0x100000001B3)  # FNV-1a's prime
BASIS = np.uint64(0xCBF29CE484222325)


def is_own_token(codepoint: int) -> bool:
    """Return whether a character is its own token: CJK, kana, hangul, Thai, Lao, Khmer, Myanmar, emoji."""
    return bool(kernels.is_own_token(codepoint))


def sketch(
    data: np.ndarray,
    offsets: np.ndarray,
    keys: tuple[np.uint64, np.uint64],
    table: np.ndarray,
    needs: np.ndarray,
    out: tuple[np.ndarray, ...],
) -> None:
    """Sketch every text of an Arrow string buffer into the given columns.

    data: (bytes,) uint8; offsets: (texts + 1,) int64; table: (slots, 2) uint64 from `phrase_table`; needs:
    (classes,) int64. Out, zeroed by the caller: exact, head, tail (texts,) uint64, 0 if the text is too
    short; cell uint16; classes uint32; words int32; phrases (texts, k) uint32, 0 if there are fewer; content
    (texts, j) uint32, the distinct content words of smallest hash, ascending, with the first context of each
    in their lower 12 bits; or with j = 0.
    """
    *columns, phrases, content = out
    kernels.sketch(
        *(data, offsets, len(offsets) - 1, *keys, table, len(table), needs, len(needs)),
        *(*columns, phrases, phrases.shape[1], content, content.shape[1]),
    )


def count_tokens(data: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    """Count every text's tokens into (texts,) int32, without sketching. Arguments as for `sketch`."""
    kernels.count_tokens(data, offsets, len(offsets) - 1, out)
