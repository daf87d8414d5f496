"""Rewrites addresses in a reply's body, so that its client continues at this gateway and not past it.

Only the fields in `FIELDS` are rewritten. An address that leads past the gateway is removed, because the
stream of an answer needs no key.

Blind to: addresses in other fields, such as those of pictures.
"""

import msgspec

from stillwatch.gateway.path.handed_out import KEY_FIELDS, ORIGIN, origin
from stillwatch.gateway.path.objects import place_of
from stillwatch.gateway.path.references import values_at
from stillwatch.gateway.path.server import Request
from stillwatch.gateway.path.upstream import Target

# Fields with addresses, by the kind of a reply's object: keys from the top, `*` for each element of a list
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
MUST_TURN = frozenset(("predictions",))  # replies of this kind do not pass if they are too long to be read


def turn_body(body: bytes, kind: str, request: Request, upstream: Target) -> bytes:
    """Rewrite the addresses in a JSON reply about a kind of object to this gateway's.

    An address at another host is rewritten too if its path is of the same kind: a gateway behind this one
    passes on its own upstream's. Returns the same bytes if there is none.
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
