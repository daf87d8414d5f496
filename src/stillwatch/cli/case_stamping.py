"""The two options with which a verb names its time-stamping authority. It asks nobody."""

from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.exports.places import place
from stillwatch.cases.stamping import Authority, read_roots
from stillwatch.errors import InputError

StampUrl = Annotated[
    str | None, typer.Option("--stamp", help="URL of a time-stamping authority (RFC 3161) to be asked.")
]
StampCa = Annotated[
    Path | None, typer.Option("--stamp-ca", help="PEM file of the certificate that such stamps lead back to.")
]


def named_authority(url: str | None, roots: Path | None) -> Authority | None:
    """Give the authority that was named, if one was. Raises: InputError, ExportError, StampError."""
    if url is None and roots is None:
        return None
    if url is None or roots is None:
        raise InputError(
            "--stamp and --stamp-ca go together: whom to ask, and the certificate by which it is known"
        )
    place(url, ("https", "http"))  # before anything is made that would be stamped
    return Authority(url, read_roots(roots))
