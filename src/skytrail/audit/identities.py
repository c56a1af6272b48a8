"""userIdentity: who called, in CloudTrail's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..identity.principals import Identity


def instant(seconds: float) -> str:
    """`2026-11-20T20:18:22Z`."""
    return datetime.fromtimestamp(int(seconds // 1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user_identity(identity: Identity) -> dict[str, Any]:
    if identity.type == "AWSService":
        return {"type": "AWSService", "invokedBy": identity.invoked_by}
    if identity.type == "WebIdentityUser":
        return _web_identity_user(identity)
    if identity.anonymous:
        return {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
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
        shown["sessionContext"] = _session_context(identity)
    if identity.invoked_by:
        shown["invokedBy"] = identity.invoked_by
    return shown


def stranger(identity: Identity) -> dict[str, Any]:
    """The same caller as the records of another account show it: whose it is, and nothing more of it."""
    if identity.type not in ("Root", "IAMUser", "AssumedRole", "FederatedUser"):
        return user_identity(identity)
    shown = {"type": "AWSAccount", "principalId": identity.principal_id, "accountId": identity.account}
    return {**shown, "invokedBy": identity.invoked_by} if identity.invoked_by else shown


def _web_identity_user(identity: Identity) -> dict[str, Any]:
    return {
        "type": "WebIdentityUser",
        "principalId": identity.principal_id,
        "userName": identity.user_name,
        "identityProvider": identity.provider,
    }


def _session_context(identity: Identity) -> dict[str, Any]:
    session = identity.session
    assert session is not None
    context: dict[str, Any] = {}
    # A user's own session does not name the user once more.
    if session.issuer is not None and identity.type in ("AssumedRole", "FederatedUser"):
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
