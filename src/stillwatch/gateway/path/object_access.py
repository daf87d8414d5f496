"""The stored objects that one request may access, and the owner of those that its reply names.

`objects` and `references` read targets and bodies; `control.owners` records ownership. If clients use the
upstream's own keys, the upstream separates its accounts, and only administration is refused.
"""

from contextlib import suppress

from stillwatch.gateway.control.owners import EVERYBODY, MODELS, OwnersError
from stillwatch.gateway.path.foreign_names import UnknownReply
from stillwatch.gateway.path.gate import NOBODY, Gate
from stillwatch.gateway.path.handed_out import SESSION, is_in_pieces
from stillwatch.gateway.path.objects import WORDS, Listing, place_of
from stillwatch.gateway.path.passing import COUNTED
from stillwatch.gateway.path.references import deferred_in, made_in, made_in_list
from stillwatch.gateway.path.request import BadRequest, Facts
from stillwatch.gateway.path.routes import Route
from stillwatch.gateway.path.server import Request
from stillwatch.gateway.path.stored_links import HOSTS
from stillwatch.gateway.path.trained_models import (
    JOBS,
    is_trained_name,
    models_in_path,
    names_of,
    trained_in,
)

STATELESS = frozenset(("completions", "messages", "embeddings"))  # their replies name nothing that is stored
NOBODYS = "There is no object {} of this account."
READ_ITS_JOB = (
    " A trained model answers its account from when that has read its finished job through this gateway, "
    "or an administrator assigned it."
)
ADMINISTRATION = "The organisation's administration is not reached through this gateway."
SHARED = "What all accounts stored cannot be drawn on; name files of this account instead."
UNKNOWN = "The gateway cannot look up now whose this is. Try again soon."
EMPTY_LIST = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'


class ObjectAccess:
    """The stored objects of one exchange."""

    def __init__(
        self, gate: Gate, request: Request, route: Route, account: str, facts: Facts, began_us: int
    ) -> None:
        """Raises: BadRequest for an object of another account, or of nobody."""
        self._gate, self._request, self._account = gate, request, account
        self._facts, self._began_us = facts, began_us
        self.listing: Listing | None = None  # a list that is cut down to the account's own objects
        self.owns_nothing = False  # in that list: the upstream is not asked
        self.target: str | None = None  # the one to request, if not the client's own
        self._route, self._place = route, route.place
        place = route.place
        if place.administration or facts.references.shared:
            raise BadRequest(403, "path_not_allowed", ADMINISTRATION if place.administration else SHARED)
        self._kept_apart = gate.terms.identity.keys == "issued"
        if self._kept_apart:
            self._refuse_others()
            if facts.batch is not None and facts.batch.begins:
                self._refuse_unseen(facts.batch.files)
            unknown = facts.does == "unknown"
            if request.method == "GET" and facts.operation != "models" and (
                unknown or (place.lists and not place.model)
            ):  # fmt: skip
                self._narrow(unknown)

    def _refuse_others(self) -> None:
        place, uses, account = self._place, self._facts.references, self._account
        self._refuse_models()
        if place.names_nothing and not (uses.owned or uses.named or uses.linked or uses.buckets):
            return
        reads = self._request.method in ("GET", "HEAD")
        owned, named = [*uses.owned, *place.query.owned], [*uses.named, *place.others, *place.query.named]
        for host, name in (*uses.linked, *place.query.linked):
            (owned if self._is_own_host(host) else named).append(name)
        if place.parent:
            owned.append(place.parent)
        if place.model and not reads and self._request.method != "POST":
            owned.append(place.model)
        try:
            owners = self._gate.owners.owners({*owned, *named})
        except OwnersError:
            raise BadRequest(503, "owners_unknown", UNKNOWN) from None
        allowed = (account, EVERYBODY)
        for name in (
            *(name for name in owned if owners.get(name) not in allowed),
            *(name for name in named if owners.get(name, EVERYBODY) not in allowed),
        ):
            raise BadRequest(404, "not_found", NOBODYS.format(name[:200]))
        for folders in (*uses.buckets, *place.query.buckets):
            self._refuse_bucket(folders)
        if reads or self._request.target.partition("?")[0].endswith("/search"):
            return
        for name in (place.parent, place.model):
            if name and owners.get(name) == EVERYBODY:
                raise BadRequest(403, "not_yours", f"{name[:200]} is shared: it can be read and used.")

    def _refuse_models(self) -> None:
        """Refuse a model that was trained for another account, or assigned to one by an administrator."""
        facts, in_path = self._facts, self._route.models
        owners = frozenset[str]()
        try:
            for model in (*facts.models, *facts.references.trained):
                if not self.may_use(model):
                    raise BadRequest(404, "not_found", _no_model(model))
            for name in in_path:
                owners |= self._gate.model_owners(name, self._began_us)
        except OwnersError:
            raise BadRequest(503, "owners_unknown", UNKNOWN) from None
        owners = owners - {NOBODY} or owners  # one of the candidates is the name
        if not owners <= {self._account, EVERYBODY}:
            raise BadRequest(404, "not_found", _no_model(in_path[0]))

    def _is_own_host(self, host: str) -> bool:
        """Return whether files at this host belong to the account behind the gateway's key."""
        return self._gate.pool.target.is_at(host) or host.partition(":")[0].rstrip(".") in HOSTS

    def _refuse_bucket(self, folders: tuple[str, ...]) -> None:
        """Refuse a path in a bucket unless its innermost folder with an owner is the account's."""
        try:
            owners = self._gate.owners.owners(folders)
        except OwnersError:
            raise BadRequest(503, "owners_unknown", UNKNOWN) from None
        of_folders = [owners[name] for name in folders if name in owners]
        if not of_folders or of_folders[-1] not in (self._account, EVERYBODY):
            raise BadRequest(404, "not_found", NOBODYS.format(folders[-1][:200]))

    def _refuse_unseen(self, files: tuple[str, ...]) -> None:
        """Refuse a batch of files uploaded in parts: the objects that they name were never checked."""
        for name in files:
            stored = self._gate.owners.object(name.rpartition("/")[2])
            if stored is not None and stored.kind == "built":
                raise BadRequest(
                    400, "bad_batch", f"{name[:200]} was uploaded in parts; send it whole to /v1/files."
                )

    def _narrow(self, unknown: bool) -> None:
        """Cut a list down to the account's own objects; remove others' objects from an unknown reply."""
        kind, target = self._place.kind, self._request.target
        if unknown and not (kind and self._place.lists):
            lists = self._place.lists and not self._place.model
            self.listing = UnknownReply(target, self._own_names, self._foreign_names, lists)
            return
        self.listing = Listing(target, self._own_names, bool(kind))
        self.target = self.listing.first
        with suppress(OwnersError):
            self.owns_nothing = bool(kind) and not self._gate.owners.has(self._account, kind)

    def _own_names(self, names: list[str]) -> set[str]:
        try:
            owners = self._gate.owners.owners(names)
        except OwnersError as why:
            raise ValueError("whose its objects are cannot be looked up now") from why
        return {name for name in names if owners.get(name) in (self._account, EVERYBODY)}

    def _foreign_names(self, names: list[str]) -> set[str]:
        try:
            owners = self._gate.owners.owners(names)
        except OwnersError as why:
            raise ValueError("whose its objects are cannot be looked up now") from why
        return {name for name, owner in owners.items() if owner not in (self._account, EVERYBODY)}

    def may_use(self, model: str) -> bool:
        """Return False for a model of another account, or of nobody. Raises: OwnersError."""
        if not self._kept_apart:
            return True
        owners = self._gate.model_owners(model, self._began_us)
        return not owners or owners <= {self._account, EVERYBODY}

    @property
    def reply_names(self) -> tuple[str, bool, bytes] | None:
        """What a reply may name: (kind, whether the reply itself is one, marker of events that name one)."""
        place, method, facts = self._place, self._request.method, self._facts
        if not self._kept_apart or method in ("HEAD", "OPTIONS"):
            return None
        if facts.operation == "responses" and method == "POST":
            return None if facts.references.stored is False else ("responses", True, b'"id"')
        if facts.operation == "chat" and method == "POST":
            if facts.references.stored or (place.kind == "completions" and "/async/" in self._request.target):
                return "completions", True, b'"id"'
            return ("audio", False, b'"audio"') if facts.references.audio else None
        if facts.operation == "videos" and not place.kind:  # Google's
            return "operations", True, b'"name"'
        if facts.operation == "messages" and not place.kind:
            return "containers", False, b'"container"'
        if facts.operation in STATELESS or not (place.kind or (place.model and facts.does not in COUNTED)):
            return None
        if method == "GET":
            return place.kind, False, b'_id"'
        if place.kind == "conversations" and facts.does == "generates":  # Mistral's
            return place.kind, False, b'_id"'
        within = place.parent and place.kind != "uploads"
        return ("items" if within else place.kind or "batches"), True, b'"id"'

    def learn(self, body: bytes) -> None:
        """Note the owner of the objects in a whole reply, before the client learns their names."""
        if not self._kept_apart:
            return
        names = self.reply_names
        if self._place.kind in JOBS and self._request.method == "GET":
            self.note([(name, MODELS) for model in trained_in(body) for name in names_of(model)])
        if self._facts.operation == "chat" and (later := deferred_in(body)):
            self.note([(later, "deferred-completion")])
        if names is None or (self._facts.operation == "messages" and names[2] not in body):
            return
        kind, itself, _ = names
        if f"{SESSION}=" in self._request.target and is_in_pieces(self._request):
            kind = "uploads"
        self.note(made_in_list(body, kind) if self.listing else made_in(body, kind, itself))

    def learn_location(self, value: bytes) -> None:
        """Note the object that the head of a reply names as created."""
        if self._kept_apart and self._place.kind and self._request.method == "POST":
            name = value.partition(b"?")[0].rpartition(b"/")[2].decode("utf-8", "replace")
            self.note([(name, self._place.kind)] if name.lower() not in WORDS else [])

    def learn_uploads(self, names: list[str]) -> None:
        """Note the uploads that the head of a reply starts."""
        if self._kept_apart and self._request.method == "POST":
            self.note([(name, "uploads") for name in names])

    def note(self, objects: list[tuple[str, str]]) -> None:
        """Record that the account owns these objects, as (id, kind)."""
        if objects:
            new = self._request.method == "POST"
            self._gate.owners.add(self._account, objects, self._began_us, expected_new=new)

    def forget(self) -> None:
        """Delete the ownership of a deleted object."""
        place = self._place
        name = place.parent if place.is_object else place.model
        if name and self._kept_apart:
            with suppress(OwnersError):
                self._gate.owners.forget(name)


def _no_model(model: str) -> str:
    return NOBODYS.format(model[:200]) + (READ_ITS_JOB if is_trained_name(model) else "")


def refuse_foreign(gate: Gate, account: str, facts: Facts, target: str) -> None:
    """Refuse objects known to be another account's; unknown ones pass. For hooks. Raises: BadRequest."""
    place, uses = place_of(target), facts.references
    names = [place.parent, place.model, *place.others, *uses.owned, *uses.named]
    names += [*place.query.owned, *place.query.named]
    names += [name for _, name in (*uses.linked, *place.query.linked)]
    also_named = (*models_in_path(target), *uses.trained)
    try:
        owners = gate.owners.owners(filter(None, names))
        models = [(name, owner) for name in also_named for owner in gate.model_owners(name, gate.now_us())]
    except OwnersError:
        raise BadRequest(503, "owners_unknown", UNKNOWN) from None
    for name, owner in (*owners.items(), *models):
        if owner not in (account, EVERYBODY, NOBODY):
            raise BadRequest(404, "not_found", NOBODYS.format(name[:200]))
