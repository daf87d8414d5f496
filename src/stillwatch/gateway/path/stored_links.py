"""Addresses in requests that lead to stored objects, which the upstream reads with its own rights.

A file of the upstream may be named by its address as well as by its id; a bucket by its own scheme.
`control.owners` records ownership.
"""

import re
from itertools import pairwise
from urllib.parse import unquote

from stillwatch.exchanges.links import LONGEST
from stillwatch.exchanges.operations import plain

COLLECTIONS = frozenset(
    ("files", "batches", "responses", "conversations", "containers", "videos", "threads", "assistants",
     "vector_stores", "predictions", "uploads", "datasets", "operations", "interactions", "cachedcontents",
     "tunedmodels", "corpora", "ragcorpora", "filesearchstores", "libraries", "documents", "voices")
)  # fmt: skip
# Hosts whose own files may be named by address
HOSTS = frozenset(("generativelanguage.googleapis.com", "api.replicate.com"))
_HTTP = re.compile(r"(?:https?:[/\\]*|[/\\]{2})([^/\\?#]*)([^?#]*)", re.IGNORECASE)
_BUCKET = re.compile(
    r"(gs|s3[an]?|abfss?|wasbs?|adl|azure|azureml|az|dbfs|hdfs|oss|cos|tos|obs|bq|file):/*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_UNCLEAR = re.compile(r"//|\\|%|[?#\s]|(?:^|/)\.{1,2}(?:/|$)")  # some servers read it as another path
MOST_FOLDERS = 30


def linked_objects(value: str) -> list[tuple[str, str]]:
    """Return (host with its port, id) of what an address may lead to, as the most lenient server reads it.

    >>> linked_objects("https://api.example.com/v1/files/file-1/content")
    [('api.example.com', 'file-1')]
    """
    address = _HTTP.match(unquote(unquote(value[:LONGEST])).strip())
    if address is None:
        return []
    host = address[1].rpartition("@")[2].lower()
    parts = plain(address[2]).split("/")
    return [
        (host, name.partition(":")[0].strip())
        for part, name in pairwise(parts)
        if part.lower() in COLLECTIONS
    ]


def folders_of(value: str) -> tuple[str, ...]:
    """Return the names of a path in a bucket, from the bucket down; of an unclear one, a name without owner.

    >>> folders_of("GS://bucket/a/q.pdf")
    ('gs://bucket', 'gs://bucket/a', 'gs://bucket/a/q.pdf')
    >>> folders_of("https://example.com")
    ()
    """
    place = _BUCKET.fullmatch(value.strip())
    if place is None:
        return ()
    scheme, path = place[1].lower(), place[2].rstrip("/")
    parts = path.split("/")
    if _UNCLEAR.search(path) or len(parts) > MOST_FOLDERS or len(path) > LONGEST:
        return (value.strip()[:LONGEST],)
    return tuple(f"{scheme}://{'/'.join(parts[: k + 1])}" for k in range(len(parts)))
