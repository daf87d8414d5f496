"""Addresses in a reply's body at which its client would go on: it goes on at this gateway, not past it.

Each is one of `FIELDS`, by the kind of what the reply is about. One that leads past the gateway is left out:
a stream of an answer needs no key.

Blind to: addresses in other fields, as those of pictures.
"""

import msgspec

from stillwatch.gateway.path.handed_out import KEY_FIELDS, ORIGIN, origin
from stillwatch.gateway.path.objects import place_of
from stillwatch.gateway.path.references import values_at
from stillwatch.gateway.path.server import Request
from stillwatch.gateway.path.upstream import Target

# Where clients go on, by the kind of what a reply is about: keys from the top, `*` for each element of a list
FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "batches": (  # Anthropic, DigitalOcean
        ("results_url",), ("data", "*", "results_url"), ("output_file_url",), ("error_file_url",),
    ),
    "predictions": (  # Replicate
        ("urls", "get"), ("urls", "cancel"), ("urls", "stream"), ("next",), ("previous",),
        ("results", "*", "urls", "get"), ("results", "*", "urls", "cancel"),
        ("results", "*", "urls", "stream"),
    ),
    "trainings": (("urls", "get"), ("urls", "cancel"), ("next",), ("previous",)),
    "operations": (("response", "generateVideoResponse", "generatedSamples", "*", "video", "uri"),),
}  # fmt: skip
MUST_TURN = frozenset(("predictions",))  # of which no reply passes that is too long to be read


def turn_body(body: bytes, kind: str, request: Request, upstream: Target) -> bytes:
    """A JSON reply about a kind of object with its addresses turned into this gateway's, or the same bytes.

    One at another host is turned too where its path is of the same kind: a gateway behind this one passes on
    what its own upstream wrote.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return body
    changed = False
    for *above, field in FIELDS[kind]:
        for holder in values_at(document, tuple(above)):
            if not isinstance(holder, dict) or not isinstance(holder.get(field), str):
                continue
            address = ORIGIN.fullmatch(holder[field].strip())
            if address is None:
                continue
            changed = True
            target = address[2] if address[2].startswith("/") else "/" + address[2]
            if upstream.is_at(address[1]) or place_of(target).kind == kind:
                holder[field] = origin(request) + KEY_FIELDS.sub("", target).rstrip("?&")
            else:
                del holder[field]
    return msgspec.json.encode(document) if changed else body
