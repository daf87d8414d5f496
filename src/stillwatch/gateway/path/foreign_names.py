"""Removes other accounts' objects from a reply of unknown format.

Every text in it that is an object's name, or an address that contains one, is looked up. Whatever contains a
foreign name is removed: an element of a list, an object, an entry.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from stillwatch.gateway.path.objects import Listing
from stillwatch.gateway.path.references import resource_in
from stillwatch.gateway.path.stored_links import linked_objects

LONGEST, SHORTEST = 512, 3  # characters of a name, or of an address with one
_WORD = re.compile(r"[\w.:/@#-]{3,512}")
MOST_TEXTS = 20_000  # looked up for one reply: others wait meanwhile


class ForeignError(ValueError):
    """The whole reply is about an object of another account."""


class UnknownReply(Listing):
    """A reply of unknown format: filtered like a list, and foreign names are removed wherever they occur."""

    def __init__(
        self,
        target: str,
        is_mine: Callable[[list[str]], set[str]],
        is_foreign: Callable[[list[str]], set[str]],
        lists: bool,
    ) -> None:
        super().__init__(target, is_mine, False)
        self._is_foreign, self._lists = is_foreign, lists

    def take(self, body: bytes) -> tuple[bytes | None, str | None]:
        """Filter as any list. Raises: ValueError; ForeignError if nothing is left."""
        try:
            page = msgspec.json.decode(body)
            named = {text: names_in_text(text) for text in texts_in(page)}
            foreign = self._is_foreign([name for names in named.values() for name in names])
            texts = {text for text, names in named.items() if not foreign.isdisjoint(names)}
            page = without_names(page, texts) if texts else page
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return self._own_lines(body), None
        if texts and page is None:
            raise ForeignError("it is an object of another account")
        body = msgspec.json.encode(page) if texts else body
        return super().take(body) if self._lists else (body, None)

    def _own_lines(self, body: bytes) -> bytes:
        """Return a text without the lines that contain a foreign name. Raises: ValueError; ForeignError."""
        lines = body.splitlines(keepends=True)
        named = [names_in_line(line) for line in lines]
        names = set[str]().union(*named)
        if len(names) > MOST_TEXTS:
            raise ValueError(f"it holds more than {MOST_TEXTS:,} names; an [[operation]] lets it through")
        foreign = self._is_foreign(list(names))
        kept = [line for line, names in zip(lines, named, strict=True) if foreign.isdisjoint(names)]
        if lines and not kept:
            raise ForeignError("it is all about objects of other accounts")
        return body if len(kept) == len(lines) else b"".join(kept)


def names_in_line(line: bytes) -> set[str]:
    """Return the objects that a line of text, or of JSON, may name.

    >>> sorted(names_in_line(b"file-1, (batch_2)"))
    ['batch_2', 'file-1']
    """
    try:
        texts = texts_in(msgspec.json.decode(line))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        texts = set(_WORD.findall(line.decode("utf-8", "replace")))
    return {name for text in texts for name in names_in_text(text)}


def texts_in(document: object) -> set[str]:
    """Return the texts of a JSON value that may name objects. Raises: ValueError if there are too many."""
    texts: set[str] = set()
    for text in _texts(document):
        if SHORTEST <= len(text) <= LONGEST and " " not in text:
            texts.add(text)
            if len(texts) > MOST_TEXTS:
                raise ValueError(f"it holds more than {MOST_TEXTS:,} names; an [[operation]] lets it through")
    return texts


def _texts(document: object) -> Iterator[str]:
    todo = [document]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            yield from value
            todo += value.values()


def names_in_text(text: str) -> tuple[str, ...]:
    """Return the objects that a text may name.

    >>> names_in_text("https://api.example.com/v1/files/file-1")
    ('https://api.example.com/v1/files/file-1', 'file-1')
    """
    if "/" not in text:
        return (text,)
    at = resource_in(text)
    found = [name for _, name in linked_objects(text)] + ([at[1]] if at else [])
    return tuple(dict.fromkeys((text, *found)))


def without_names(document: object, foreign: set[str]) -> object | None:
    """Return a JSON value without what contains one of these texts; None if that is the value itself.

    Raises: RecursionError.
    """
    if isinstance(document, str):
        return None if document in foreign else document
    if isinstance(document, list):
        return [
            kept for inner in document if (kept := without_names(inner, foreign)) is not None or inner is None
        ]
    if not isinstance(document, dict):
        return document
    if any(isinstance(inner, str) and inner in foreign for inner in document.values()):
        return None
    return {
        key: kept
        for key, inner in document.items()
        if key not in foreign and ((kept := without_names(inner, foreign)) is not None or inner is None)
    }
