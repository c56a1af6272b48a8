"""userIdentity: who called, in CloudTrail's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..identity.principals import Identity, Session


def instant(seconds: float) -> str:
    """`2026-11-20T20:18:22Z`."""
    return datetime.fromtimestamp(int(seconds // 1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _session_context(session: Session) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if session.issuer is not None:
        context["sessionIssuer"] = session.issuer
    if session.web_id_federation is not None:
        context["webIdFederationData"] = session.web_id_federation
    context["attributes"] = {
        "creationDate": instant(session.created),
        "mfaAuthenticated": "true" if session.mfa else "false",
    }
    if session.source_identity:
        context["sourceIdentity"] = session.source_identity
    return context


def user_identity(identity: Identity) -> dict[str, Any]:
    if identity.type == "AWSService":
        return {"type": "AWSService", "invokedBy": identity.invoked_by}
    shown: dict[str, Any] = {"type": identity.type}
    if identity.principal_id:
        shown["principalId"] = identity.principal_id
    if identity.arn:
        shown["arn"] = identity.arn
    if identity.account:
        shown["accountId"] = identity.account
    if identity.access_key:
        shown["accessKeyId"] = identity.access_key
    if identity.user_name:
        shown["userName"] = identity.user_name
    if identity.session is not None:
        shown["sessionContext"] = _session_context(identity.session)
    if identity.invoked_by:
        shown["invokedBy"] = identity.invoked_by
    return shown
