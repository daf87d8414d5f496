"""What a model reads in a request: the new part, earlier turns, and the application's instructions.

The only reader of requests, for logs and for the gateway. The shapes of the APIs' bodies are in `apis/`; an
unknown body or key is walked as well. Without a memory of an account's earlier requests, everything after the
model's last answer counts as new.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

from stillwatch.exchanges.apis import (
    FREE,
    MODEL,
    NAMES,
    SILENT,
    SYSTEM,
    TEXTS,
    TOOL,
    USER,
    Api,
    Voice,
    all_apis,
)
from stillwatch.exchanges.data_links import (
    DataLink,
    are_words,
    bytes_of,
    data_link,
    has_even_lines,
    joined_base64,
    says_something,
)
from stillwatch.exchanges.document_process import DAMAGED, OTHER_KIND
from stillwatch.exchanges.documents import READER, is_document
from stillwatch.exchanges.formats import UNREAD_DOCUMENTS
from stillwatch.exchanges.links import LINK, links_in
from stillwatch.exchanges.messages import REDACTED
from stillwatch.exchanges.text_files import decode_text

UNKNOWN = Api(
    name="unknown", order=0, paths=(), marks=(), places={}, free=FREE - {"input", "result"},
    turns=("messages", "contents", "history", "chat_history", "turns", "items"),
)  # fmt: skip
MESSAGES = Api(  # the part of a chat request that a log keeps: messages, and the system text beside them
    name="messages", order=0, paths=(), marks=(), turns=("messages",), texts=TEXTS | {"system", "messages"},
    places={"system": SYSTEM, "messages": USER, "tools": SYSTEM},
)  # fmt: skip
BLOBS = frozenset(
    ("data", "bytes", "file_data", "b64_json", "image", "audio", "result", "images", "image_data",
     "video_data", "audio_data", "multimodal_data", "base64string")
)  # fmt: skip
LINKS = frozenset(("url", "uri", "image_url", "file_url", "video_url", "server_url"))
UNREAD = BLOBS | LINKS
LONG = 64  # characters: longer than any id, so it is text under any key
MANY = 12  # different words in names and settings of one voice: more are a message in disguise
PROSE = re.compile(r"\s|[^\x00-\x7f]")
# six words: a name this long is a sentence
SENTENCE = re.compile(r"(?<![^\W\d_])(?:[^\W\d_]++[\W_]++){5}[^\W\d_]")
_WORD = re.compile(r"[^\W\d_][^\W\d_A-Z]+")  # also the words of a name: get_weather, getWeather
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}\s*")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
MARKS = (  # the longer first
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_NAME = re.compile(rb'\bname="([^"]*)"')
_FILE_NAME = re.compile(rb'filename="([^"]*)"', re.IGNORECASE)
_IN_BASE64 = re.compile(rb"content-transfer-encoding:[ \t]*base64", re.IGNORECASE)
NUMBERS = (int, float, bool, type(None))
REMEMBERED = 512  # characters of a path and a body's keys; longer ones would fill the cache
MANY_KEYS = 32
SILENT_FIELDS = SILENT | {"purpose", "response_format", "size", "n", "quality", "language", "temperature"}
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)


class RequestPiece(NamedTuple):
    """Some text of a request."""

    voice: Voice
    text: str  # empty: a turn of the model without words
    turn: int  # number of the turn; -1 beside the conversation


class ShortPiece(RequestPiece):
    """A name or a setting: counts as text only if one request has many."""

    __slots__ = ()


class RequestText(msgspec.Struct, frozen=True):
    """The texts of a request. None: there is none."""

    new: str | None  # what the model has to answer now: the record's `prompt`
    earlier: str | None  # context: earlier turns, the model's own words
    system: str | None  # instructions, and descriptions of the offered tools
    turn: int | None  # user messages so far
    api: str | None  # the table it was read with; None: unknown shape
    pieces: tuple[RequestPiece, ...] = ()
    unread: tuple[str, ...] = ()  # for each document not read completely, the reason

    def row(self) -> dict[str, object]:
        """Return the record's fields, and the mark of documents that are not read."""
        found: dict[str, object] = {
            "turn": self.turn, "system": self.system, "prompt": self.new, "earlier": self.earlier,
        }  # fmt: skip
        return found | {UNREAD_DOCUMENTS: self.unread} if self.unread else found


NOTHING = RequestText(None, None, None, None, None)


def request_text(body: object, path: str = "") -> RequestText:
    """Read a request's body, decoded from JSON, and its path if known."""
    api = recognise(body, path)
    pieces, unread = pieces_of(body, api or UNKNOWN)
    return split(pieces, api.name if api else None, unread)


def pieces_only(body: object, path: str = "") -> RequestText:
    """Read a request for a caller who remembers earlier ones: pieces and API, not split into new and old."""
    api = recognise(body, path)
    pieces, unread = pieces_of(body, api or UNKNOWN)
    return RequestText(None, None, None, None, api.name if api else None, tuple(pieces), tuple(unread))


def messages_text(messages: object, system: object = None, tools: object = None) -> RequestText:
    """Read a list of messages, or one, or a plain text, with what some APIs keep beside them."""
    if isinstance(messages, dict):
        messages = messages.get("messages", [messages])
    body = {"system": system, "tools": tools, "messages": messages}
    pieces, unread = pieces_of(body, MESSAGES)
    return split(pieces, MESSAGES.name, unread)


def recognise(body: object, path: str = "") -> Api | None:
    """Return the request's API, by its path, else by its body's keys. The path alone does not suffice: a body
    without any key of the table has no API."""
    if not isinstance(body, Mapping):
        return None
    keys = tuple(body)
    if len(keys) > MANY_KEYS or len(path) + sum(map(len, keys)) > REMEMBERED:
        return api_of.__wrapped__(path, keys)
    return api_of(path, keys)


@lru_cache(1024)
def api_of(path: str, keys: tuple[str, ...]) -> Api | None:
    """Return the API whose request has these keys and went to this path."""
    names = {key.lower() for key in keys}
    path = path.partition("?")[0].rstrip("/").lower()
    for api in all_apis():
        if path and path.endswith(api.paths) and not names.isdisjoint(api.places):
            return api
    return next((api for api in all_apis() if not names.isdisjoint(api.marks)), None)


def only_places(body: Mapping[str, object]) -> dict[str, object]:
    """Return only the keys of a body that its API's table names."""
    api = recognise(body) or UNKNOWN
    return {key: value for key, value in body.items() if key.lower() in api.places}


def is_conversation(value: object) -> bool:
    """Return whether a value is messages, and not a text that happens to be JSON."""
    if isinstance(value, dict):
        return isinstance(value.get("messages"), list) or "role" in value or "content" in value
    return isinstance(value, list) and any(
        isinstance(message, dict) and not {"role", "content", "parts", "text"}.isdisjoint(message)
        for message in value
    )


def split(pieces: Iterable[RequestPiece], api: str | None, unread: Iterable[str] = ()) -> RequestText:
    """Separate new from earlier text without a memory: all that follows the model's last answer is new.

    A last turn in the model's voice, which it is to continue, is new too: the client wrote it. Fooled by: an
    answer that the client invented. `Earlier` uses the memory of what was sent.
    """
    pieces_found = tuple(pieces)
    return msgspec.structs.replace(
        put_together(pieces_found, since_last_answer(pieces_found), api), unread=tuple(unread)
    )


def since_last_answer(pieces: tuple[RequestPiece, ...]) -> list[bool]:
    """Return for each piece whether it follows the last answer that is followed by anything."""
    last = len(pieces) - 1  # loops take half of a generator's time, and every request needs this
    while last > 0 and pieces[last].voice not in (USER, TOOL):
        last -= 1
    begin = max(last, 0)
    while begin > 0 and pieces[begin - 1].voice != MODEL:
        begin -= 1
    return [n >= begin and piece.turn != BESIDE for n, piece in enumerate(pieces)]


BESIDE = -2  # the turn of a piece that asks the model nothing


def put_together(pieces: tuple[RequestPiece, ...], is_new: list[bool], api: str | None) -> RequestText:
    """Join the texts, given for each piece whether it is new. System texts stay separate."""
    new_texts: list[str] = []
    earlier: list[str] = []
    system: list[str] = []
    users: set[int] = set()
    has_user = False
    for (voice, text, turn), follows in zip(pieces, is_new, strict=True):
        if voice == USER:
            has_user = True
            if text and turn >= 0:
                users.add(turn)
        if text:
            (system if voice == SYSTEM else new_texts if follows else earlier).append(text)
    user_turns = len(users) or (1 if has_user else None)
    return RequestText(
        _join_texts(new_texts), _join_texts(earlier), _join_texts(system), user_turns, api, pieces
    )


def pieces_of(body: object, api: Api) -> tuple[list[RequestPiece], list[str]]:
    """Return all text in a body, in the order in which a model reads it, and why documents are not read.

    Linear in its size.
    """
    unread: list[str] = []
    if isinstance(body, dict) and "chat_template" in body:  # it may show the model any field
        api = replace(api, silent=frozenset(("role",)), free=api.free | {"chat_template_kwargs"})
    found_pieces: list[RequestPiece] = []
    _add_pieces(body, api, unread, found_pieces)
    unread += [LINK] * links_in(body).documents
    short: dict[Voice, set[str]] = {}
    for piece in found_pieces:
        if type(piece) is ShortPiece:
            short.setdefault(piece.voice, set()).update(_WORD.findall(piece.text.lower()))
    long_voices = {voice for voice, words in short.items() if len(words) > MANY}
    return _join_words(found_pieces, long_voices) if short else found_pieces, unread


def _join_words(found: list[RequestPiece], long_voices: set[Voice]) -> list[RequestPiece]:
    """Return the pieces with adjacent words of names joined; the same name once."""
    joined: list[RequestPiece] = []
    seen: set[tuple[Voice, str]] = set()
    run: list[str] = []
    for at, piece in enumerate(found):
        if type(piece) is not ShortPiece:
            joined.append(piece)
            continue
        voice, text, turn = piece
        if voice in long_voices and (voice, text) not in seen:
            seen.add((voice, text))
            run += _WORD.findall(text)
        after = found[at + 1] if at + 1 < len(found) else None
        if run and not (type(after) is ShortPiece and (after.voice, after.turn) == (voice, turn)):
            joined.append(RequestPiece(voice, " ".join(run), turn))
            run = []
    return joined


def _add_pieces(body: object, api: Api, unread: list[str], pieces: list[RequestPiece]) -> None:
    if not isinstance(body, dict):
        _walk((body, USER, "content", False, -1), api, [0], unread, pieces)
        return
    voice, places, turns = USER, [], [0]
    for key, value in body.items():
        name = key.lower()
        place = api.places.get(name)
        if name == "role" and isinstance(value, str):
            voice = api.roles.get(value.lower(), USER)
        if name in api.stored and (named := _stored_text(name, value)):
            pieces.append(RequestPiece(SYSTEM, named, -1))
        if place is None and (
            (type(value) in NUMBERS and name not in api.free) or _is_silent(name, value, api)
        ):
            continue
        places.append((name, value, place))
    if len(places) > 1:
        ranks = {key: n for n, key in enumerate(api.places)}
        # the model's words beside the conversation, then its turns, then the questions beside them
        places.sort(
            key=lambda entry: (entry[2] != MODEL, entry[0] not in api.turns, ranks.get(entry[0], len(ranks)))
        )
    for name, value, place in places:
        whose_voice = voice if place is None or place == USER else place
        beside = BESIDE if place == MODEL else -1
        free = name in api.free and (place is None or name not in FREE)
        _walk((value, whose_voice, name, free, beside), api, turns, unread, pieces)


def _stored_text(key: str, value: object) -> str | None:
    """Return a placeholder for a text stored at the provider, which cannot be read here, but has a name."""
    if not isinstance(value, dict):
        return f"stored {key} {value}" if isinstance(value, str) and value else None
    name, version = value.get("id"), value.get("version")
    return f"stored {key} {name} {version or ''}".rstrip() if isinstance(name, str) else None


_Value = tuple[object, Voice, str, bool, int]  # with its voice, key, whether keys are text, and turn


def _walk(value: _Value, api: Api, turns: list[int], unread: list[str], pieces: list[RequestPiece]) -> None:
    """Add every text below a value to `pieces`; `turns` holds how many came before; `unread` collects what
    cannot be read. Uses its own stack, so that a client's nesting has no limit."""
    stack: list[Iterator[_Value]] = [iter((value,))]
    while stack:
        for found, voice, key, free, turn in stack[-1]:
            if isinstance(found, str):
                text = _text(found, key, free or key in api.texts, unread)
                if text:
                    pieces.append(RequestPiece(voice, text, turn))
                elif key not in UNREAD and len(found) <= LONG:
                    pieces.append(ShortPiece(voice, found, turn))
            elif isinstance(found, list) and found:
                if key in api.turns and turn < 0 and not free:
                    first, turns[0] = turns[0], turns[0] + len(found)
                    stack.append(_turns(found, voice, first))
                    break
                if (free or key in api.texts) and _are_tokens(found):  # in place of a text
                    pieces.append(RequestPiece(voice, " ".join(map(str, found)), turn))
                    continue
                if type(found[0]) is str and all(type(element) is str for element in found):
                    certain = free or key in api.texts
                    texts = [text for element in found if (text := _text(element, key, certain, unread))]
                    if texts:
                        pieces.append(RequestPiece(voice, "\n".join(texts), turn))
                    elif key not in UNREAD:
                        names = " ".join(element for element in found if len(element) <= LONG)
                        pieces.append(ShortPiece(voice, names, turn))
                    continue
                stack.append(_elements(found, voice, key, free, turn))
                break
            elif isinstance(found, dict) and found:
                if free:
                    stack.append(_free(found, voice, turn))
                    break
                if _add_plain(found, api, turn, unread, pieces):
                    continue
                named = [(name.lower(), inner) for name, inner in found.items()]
                voice, as_text = _voice(named, voice, api)
                if voice == MODEL and turn >= 0:
                    pieces.append(RequestPiece(MODEL, "", turn))
                if all(type(inner) is str for _, inner in named):  # a part that is a text, as most are
                    for inner, whose, name, _, _ in _fields(named, voice, as_text, turn, api):
                        text = _text(inner, name, name in api.texts, unread)  # type: ignore[arg-type]
                        if text:
                            pieces.append(RequestPiece(whose, text, turn))
                        elif name not in UNREAD and len(inner) <= LONG:  # type: ignore[arg-type]
                            pieces.append(ShortPiece(whose, inner, turn))  # type: ignore[arg-type]
                    continue
                stack.append(_fields(named, voice, as_text, turn, api))
                break
            elif free and type(found) in (int, float):
                pieces.append(RequestPiece(voice, str(found), turn))
        else:
            stack.pop()


def _add_plain(
    found: dict[str, object], api: Api, turn: int, unread: list[str], pieces: list[RequestPiece]
) -> bool:
    """Add the pieces of a message of a role and a text, the usual form; return False for any other object."""
    role, content = found.get("role"), found.get("content")
    if len(found) != 2 or type(role) is not str or type(content) is not str:
        return False
    voice = api.roles.get(role) or api.roles.get(role.lower())
    if voice is None:
        return False
    if voice == MODEL and turn >= 0:
        pieces.append(RequestPiece(MODEL, "", turn))
    whose = api.keys.get("content", voice)
    if text := _text(content, "content", "content" in api.texts, unread):
        pieces.append(RequestPiece(whose, text, turn))
    elif len(content) <= LONG:
        pieces.append(ShortPiece(whose, content, turn))
    return True


def _turns(elements: list[object], voice: Voice, first: int) -> Iterator[_Value]:
    for turn, element in enumerate(elements, first):
        yield element, voice, "content", False, turn


def _elements(elements: list[object], voice: Voice, key: str, free: bool, turn: int) -> Iterator[_Value]:
    for element in elements:
        yield element, voice, key, free, turn


def _free(fields: dict[str, object], voice: Voice, turn: int) -> Iterator[_Value]:
    for name, inner in fields.items():
        yield name, voice, "", True, turn
        yield inner, voice, "", True, turn


def _fields(
    named: list[tuple[str, object]], voice: Voice, as_text: bool, turn: int, api: Api
) -> Iterator[_Value]:
    for low, inner in named:
        if not _is_silent(low, inner, api) or (
            low == "role" and isinstance(inner, str) and inner.lower() not in api.roles
        ):
            name = "content" if as_text and low in BLOBS else low
            yield inner, api.keys.get(low, voice), name, low in api.free and type(inner) is not str, turn


def _is_silent(name: str, value: object, api: Api) -> bool:
    """Return whether no model reads what is under a key: a name that is no sentence or conversation."""
    if name not in api.silent or name not in NAMES:
        return name in api.silent
    return SENTENCE.search(value) is None if isinstance(value, str) else not isinstance(value, dict | list)


def _are_tokens(values: list[object]) -> bool:
    """Return whether a list is a text in tokens; some servers allow words among them."""
    kinds = set(map(type, values))
    return int in kinds and kinds <= {int, str}


def _voice(named: list[tuple[str, object]], voice: Voice, api: Api) -> tuple[Voice, bool]:
    """Return an object's voice, and whether it declares its content to be plain text."""
    as_text = False
    for low, value in named:
        if type(value) is str:
            if low == "role":
                voice = api.roles.get(value.lower(), USER if voice == MODEL else voice)
            elif low == "type":
                lowered = value.lower()
                voice = api.types.get(lowered, voice)
                as_text = as_text or lowered == "text"
    return voice, as_text


def _text(value: str, key: str, certain: bool, unread: list[str]) -> str | None:
    """Return the text that a string is or contains; None for ids, links and pictures."""
    if may_hold(value):
        if (link := data_link(value)) is not None:
            return _linked_text(link, unread)
        if key not in BLOBS and _BASE64.fullmatch(value):  # a document under any key
            text = _decode_base64(value, unread)
            if text is not None:
                return text  # else it may be words without blanks
    if key in LINKS:
        return value if " " in value and SENTENCE.search(value) else None  # an address has no blanks
    if len(value) <= LONG and value in REDACTED:  # a long one need not be hashed for this
        return None
    if key in BLOBS and len(value) >= 16:
        if _BASE64.fullmatch(value):
            return _decode_base64(value, unread) or (value if are_words(value) else None)
        if (joined := joined_base64(value)) is not None:
            in_lines = has_even_lines(value) and not are_words(joined)
            return _decode_base64(joined, unread, certain=in_lines) or (None if in_lines else value)
    return value if certain or len(value) > LONG or PROSE.search(value) else None


def _linked_text(link: DataLink, unread: list[str]) -> str | None:
    """Return the text in a link that contains it, and in its head if that holds a sentence."""
    text: str | None = link.data
    if link.is_base64:
        text = _decode_base64(joined_base64(link.data) or link.data, unread)
    return "\n".join(filter(None, (link.head, text))) if says_something(link) else text


def _decode_base64(value: str, unread: list[str], *, certain: bool = True) -> str | None:
    """Return the text in base64, or None for a picture or sound. certain: it is not a sentence."""
    raw = bytes_of(value)
    if raw is None or not (certain or is_document(raw) or _is_plainly_text(raw)):
        return None
    return _content(raw, unread)


def _is_plainly_text(raw: bytes) -> bool:
    """Return whether bytes are text in the usual way; words without blanks decode to other bytes."""
    try:
        return _NO_TEXT.search(raw.decode("utf-8-sig")) is None
    except UnicodeDecodeError:
        return raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _content(raw: bytes, unread: list[str]) -> str | None:
    """Return the text in a file: a document's, or its own."""
    if not is_document(raw):
        return _file_text(raw, unread)
    document = READER.read(raw)
    only_begins = document.unread in (DAMAGED, OTHER_KIND) and not document.text
    if only_begins and (plain := _file_text(raw, unread)):  # a text that only resembles a document
        return plain
    if document.unread:
        unread.append(document.unread)
    return document.text or None


def _file_text(raw: bytes, unread: list[str]) -> str | None:
    text = _plain(raw)
    return decode_text(text, lambda within: _content(within, unread)) or text if text else None


_MAY_HOLD = (  # beginnings of links with data, and of documents and archives in base64
    *map("".join, product("dD", "aA", "tT", "aA", ":")), " ", "\t", "\r", "\n",
    "JVBERi0", "UEsDB", "0M8R4KGx", "H4sI", "/Td6WFo", "QlpoOTFBWSZTW", "KLUv/", "N3q8ryc", "UmFyIRoH",
)  # fmt: skip
_MAY_BEGIN = frozenset(beginning[0] for beginning in _MAY_HOLD)


def may_hold(value: str) -> bool:
    """Return whether a text may be a link with its data, or a file in base64."""
    return value[:1] in _MAY_BEGIN and value.startswith(_MAY_HOLD)


def bytes_text(raw: bytes, kind: str) -> RequestText:
    """Read a body that is not JSON: a form, a text, or JSON that cannot be decoded. `kind`: its content type.

    Pictures and sound contain no text that is read here.
    """
    unread: list[str] = []
    if "multipart" in kind and (form := raw.lstrip(b"\r\n")).startswith(b"--"):
        border = form.partition(b"\r\n")[0]  # its content type may be in lower case
        new = _join_texts(text for part in form.split(border) for text in _part(part, unread))
    elif "urlencoded" in kind:
        fields: dict[str, object] = dict(parse_qs(raw.decode("utf-8", "replace")))
        return request_text(fields)
    elif raw.lstrip()[:1] in (b"{", b"["):
        new = _strings(raw)
    else:
        new = _content(raw, unread)
    pieces = (RequestPiece(USER, new, -1),) if new else ()
    return RequestText(new, None, None, None, None, pieces, tuple(unread))


def _part(part: bytes, unread: list[str]) -> Iterator[str]:
    """Yield the texts in one part of a form: its content, and its file name if that is a sentence."""
    head, gap, rest = part.partition(b"\r\n\r\n")
    name, file = _NAME.search(head), _FILE_NAME.search(head)
    if not gap or (name and not file and name[1].decode("utf-8", "replace").lower() in SILENT_FIELDS):
        return
    if file and SENTENCE.search(called := file[1].decode("utf-8", "replace")):
        yield called
    content = rest.removesuffix(b"\r\n")
    if _IN_BASE64.search(head):
        with suppress(binascii.Error):
            content = base64.b64decode(content)
    if text := _content(content, unread):
        yield text


def _plain(raw: bytes) -> str | None:
    """Decode bytes in an encoding of text files; None for anything else."""
    for mark, coding in MARKS:
        if raw.startswith(mark):
            return raw.decode(coding, "replace").strip() or None
    head = raw[:4096]
    if b"\0" in head:
        zeros = [head[at::2].count(0) * 4 > len(head) for at in (0, 1)]  # zeros in half of every second byte
        text = raw.decode("utf-16-be" if zeros[0] else "utf-16-le", "replace")
        return None if zeros[0] == zeros[1] or _NO_TEXT.search(text[:4096]) else text.strip() or None
    try:
        return raw.decode("utf-8").strip() or None
    except UnicodeDecodeError:
        return None if _CONTROL.search(head) else raw.decode("cp1252", "replace").strip() or None


def _strings(raw: bytes) -> str | None:
    """Return the strings in JSON that cannot be decoded, because it is nested too deeply or damaged."""
    strings = []
    for match in _STRING.finditer(raw):
        try:
            text = msgspec.json.decode(match[0], type=str)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            text = match[1].decode("utf-8", "replace")
        if len(text) > LONG or PROSE.search(text):
            strings.append(text)
    return _join_texts(strings)


def _join_texts(texts: Iterable[str]) -> str | None:
    parts = list(texts)
    return "\n".join(parts) if parts else None
