"""Client keys over the admin port."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.shapes import (
    KeyIssue,
    KeyIssued,
    KeyRotate,
    KeyShown,
    Limit,
    NameAsked,
    Page,
    Write,
)
from stillwatch.gateway.control import keys as forms
from stillwatch.units import utc_us

KeyId = Annotated[str, Path(pattern="^[a-z0-9]{8}$")]


def routes(desk: Desk) -> APIRouter:
    """Return the routes below /v1/keys."""
    to, state = APIRouter(tags=["keys"]), desk.state

    def issued(key: str) -> KeyIssued:
        parsed = forms.parse(key)
        assert parsed is not None
        shown = vars(state.key(parsed[0])) | {"key": key, "in_force": desk.takes_effect()}
        return KeyIssued.model_validate(shown)

    @to.get("/v1/keys")
    def list_keys(
        account: NameAsked = None,
        after: Annotated[str | None, Query(pattern="^[a-z0-9]{8}$")] = None,
        limit: Limit = 100,
    ) -> Page[KeyShown]:
        """List the issued keys, by id."""
        keys_shown = [KeyShown.of(key) for key in state.keys(account, after or "", limit)]
        return Page.of(keys_shown, limit, "key_id", state.revision())

    @to.post("/v1/keys", status_code=201)
    def issue_key(body: KeyIssue) -> KeyIssued:
        """Issue a key to an account. Only this answer contains it."""
        now_us = utc_us()
        expires_us = None if body.expires_in_s is None else now_us + body.expires_in_s * 1_000_000
        return issued(
            state.issue(
                body.account, body.org, expires_us, now_us=now_us, who=body.by, if_revision=body.if_revision
            )
        )

    @to.post("/v1/keys/{key_id}/revoke")
    def revoke_key(key_id: KeyId, body: Write) -> KeyShown:
        """Revoke a key now. Repeating it is no error."""
        state.revoke(key_id, now_us=utc_us(), who=body.by, if_revision=body.if_revision)
        desk.take_effect()
        return KeyShown.of(state.key(key_id))

    @to.post("/v1/keys/{key_id}/rotate", status_code=201)
    def rotate_key(key_id: KeyId, body: KeyRotate) -> KeyIssued:
        """Issue a key to replace another, which keeps working for `overlap_s`."""
        now_us = utc_us()
        expires_us = None if body.expires_in_s is None else now_us + body.expires_in_s * 1_000_000
        key = state.rotate(
            key_id,
            body.overlap_s * 1_000_000,
            now_us=now_us,
            who=body.by,
            expires_us=expires_us,
            if_revision=body.if_revision,
        )
        return issued(key)

    return to
