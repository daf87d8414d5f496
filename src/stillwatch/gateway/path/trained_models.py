"""Models that were trained for one account: what a finished job reports, and the forms of such a name.

Only a finished job is trusted, and only when it is read: earlier replies may repeat a client's own words.
`control.owners` records ownership.
"""

import re
from functools import lru_cache

import msgspec

from stillwatch.exchanges.operations import plain
from stillwatch.gateway.path.references import values_at

JOBS = frozenset(
    ("fine_tuning", "fine-tunes", "fine_tunes", "finetuning", "trainings", "tuningjobs", "finetuningjobs",
     "supervisedfinetuningjobs", "reinforcementfinetuningjobs", "dpojobs", "model-customization-jobs")
)  # fmt: skip
MADE = (
    ("fine_tuned_model",), ("model_output_name",), ("output_name",), ("outputModel",), ("outputModelArn",),
    ("tunedModel", "model"), ("tunedModel", "endpoint"), ("output", "version"),
)  # fmt: skip
_STATES = ("status", "state", "job_status")
_DONE = re.compile(r"succe|complete", re.IGNORECASE)
_HOLDS_MODEL = re.compile(r"/(?:models|model|deployments|engines|endpoints)/|/(?=projects/)", re.IGNORECASE)
MOST_AFTER = 3  # segments after a model's name
_VERSION = re.compile(r"[^:]+/[^:]+:([0-9a-f]{8,})")
_TAG = re.compile(r"(?=[#@])|(?=:[^:/]*$)")
# Upstreams' names for trained models: OpenAI and Mistral (ft:…), earlier OpenAI (davinci:ft-…), Azure
# (….ft-…), Fireworks, Vertex, Gemini, Bedrock, Cohere (UUID-ft), Together (…-HASH, which contains a letter)
_TRAINED = re.compile(
    r"(?:^|/)ft:|[:.]ft-\w|(?:^|[/#])accounts/(?!fireworks/)[^/]+/(?:models|deployedmodels)/.|"
    r"(?:^|/)projects/[^/]+/locations/[^/]+/(?:models|endpoints)/\d|(?:^|/)tunedmodels/.|"
    r":(?:custom-model(?:-deployment)?|provisioned-model|imported-model)/.|"
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-ft\b|/.*-(?=\d*[a-f])[0-9a-f]{8}$"
)
MOST_PARTS = 12  # of a name; the parts before the last twelve are not looked up
LONGEST = 512


def trained_in(body: bytes) -> list[str]:
    """Return the models that a job, or each of a list of jobs, created."""
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    jobs = reply.get("data") if isinstance(reply, dict) else None
    names = []
    for job in jobs if isinstance(jobs, list) else [reply]:
        if isinstance(job, dict) and any(_DONE.search(str(job.get(state))) for state in _STATES):
            names += [
                name for path in MADE for name in values_at(job, path) if isinstance(name, str) and name
            ]
    return [name for name in names if len(name) <= LONGEST]


def names_of(model: str) -> tuple[str, ...]:
    """Return the names under which a trained model is recorded: Replicate's also by version alone.

    The part before the version is not recorded: it may have others' versions.
    >>> names_of("acme/Ours:0abc7f3e")
    ('acme/Ours:0abc7f3e', 'acme/ours:0abc7f3e', '0abc7f3e')
    """
    lower = model.lower()
    version = _VERSION.fullmatch(lower)
    return tuple(dict.fromkeys((model, lower, *(version.groups() if version else ()))))


def is_trained_name(model: str) -> bool:
    """Return whether a name has the form that upstreams give to models trained for one account.

    Replicate's versions have the same form for public models; a deployment may have any name.

    >>> is_trained_name("openai/ft:gpt-4o-mini:acme::9abc"), is_trained_name("gpt-4o-mini")
    (True, False)
    >>> is_trained_name("acme/Llama-3-8b-ours-30b975fd"), is_trained_name("publishers/google/models/gemini-3")
    (True, False)
    """
    return _TRAINED.search(model.strip().lower()[-LONGEST:]) is not None


def spellings(model: str) -> tuple[str, ...]:
    """Return the names that a model may have: with or without a router's prefix and a tag, in lower case.

    >>> spellings("azure/acme/Ours:latest")
    ('azure/acme/ours:latest', 'azure/acme/ours', 'acme/ours:latest', 'acme/ours', 'ours:latest', 'ours')
    """
    bare, *tag = _TAG.split(model.strip().lower()[-LONGEST:], maxsplit=1)
    parts = bare.split("/")[-MOST_PARTS:]
    names = []
    for k in range(len(parts)):
        name = "/".join(parts[k:])
        names += [name + "".join(tag), name]
    return tuple(dict.fromkeys(filter(None, names)))


def models_in_path(target: str) -> tuple[str, ...]:
    """Return the parts of a target that may be a model's whole name: names contain slashes and colons, too.

    >>> models_in_path("/model/arn%3Aaws%2FAb9/converse")
    ('arn:aws/Ab9/converse', 'arn', 'arn:aws/Ab9', 'arn:aws')
    >>> models_in_path("/v1/chat/completions")
    ()
    """
    return _models_in_path(target) if len(target) <= LONGEST else _models_in_path.__wrapped__(target)


@lru_cache(1024)
def _models_in_path(target: str) -> tuple[str, ...]:
    path = plain(target)
    found = _HOLDS_MODEL.search(path)
    if found is None:
        return ()
    name = path[found.end() :]
    names = [name, *([name.rpartition(":")[0]] if ":" in name else [])]
    for _ in range(MOST_AFTER):
        name = name.rpartition("/")[0]
        names.append(name)
    return tuple(dict.fromkeys(filter(None, names)))
