"""Functions' roles: the credentials that their processes get, and the caller that Lambda is on their behalf."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from ...call import Call, Source
from ...errors import ServiceError
from ...identity.principals import Identity, Session, root
from ...wire import arns
from ...wire.http import Request
from ..engines import Engines
from .common import PRINCIPAL, invalid
from .naming import Target

_SHORTEST_SESSION_NAME = 2

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True, repr=False)
class Credentials:
    access_key: str
    secret_key: str
    token: str
    identity: Identity
    expires: float


async def check(engines: Engines, target: Target, role: str) -> None:
    """A role that Lambda cannot assume is not taken, where permissions are enforced."""
    if engines.settings.server.mode != "enforced":
        return
    if arns.parse(role).account != target.account:
        raise ServiceError("AccessDeniedException", "Cross-account pass role is not allowed.", status=403)
    try:
        await _assume(engines, target, role)
    except ServiceError:
        raise invalid("The role defined for the function cannot be assumed by Lambda.") from None


async def credentials(engines: Engines, target: Target, role: str) -> Credentials:
    """In open mode a role that is not there is no hindrance: the function acts as its account's root then."""
    try:
        return await _assume(engines, target, role)
    except ServiceError as error:
        if engines.settings.server.mode == "enforced":
            raise ServiceError(
                "AccessDeniedException",
                "The role defined for the function cannot be assumed by Lambda.",
                status=403,
            ) from None
        _log.debug("%s acts as its account's root: %s", target.arn, error)
        identity = root(target.account, target.account)
        return Credentials(target.account, "skytrail", "", identity, engines.clock.time() + 3600.0)


async def _assume(engines: Engines, target: Target, role: str) -> Credentials:
    output = await engines.internal.call(
        "sts",
        "AssumeRole",
        {"RoleArn": role, "RoleSessionName": target.name.ljust(_SHORTEST_SESSION_NAME, "-")},
        principal=PRINCIPAL,
        account=target.account,
        region=target.region,
        source_arn=target.arn,
    )
    given, user = output["Credentials"], output["AssumedRoleUser"]
    expires = given["Expiration"]
    role_arn = arns.parse(role)
    issuer = {
        "type": "Role",
        "principalId": str(user["AssumedRoleId"]).partition(":")[0],
        "arn": role,
        "accountId": role_arn.account,
        "userName": role.rpartition("/")[2],
    }
    return Credentials(
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["SessionToken"],
        Identity(
            "AssumedRole",
            role_arn.account,
            principal_id=user["AssumedRoleId"],
            arn=user["Arn"],
            access_key=given["AccessKeyId"],
            session=Session(engines.clock.time(), issuer=issuer),
        ),
        expires.timestamp() if isinstance(expires, datetime) else float(expires),
    )


def caller(engines: Engines, target: Target, held: Credentials) -> Call:
    """Lambda calling for the function, with its role's permissions: to be forwarded."""
    return Call(
        request=Request("POST", "/", "", {}),
        source=Source(PRINCIPAL),
        request_id=engines.ids.uuid(),
        event_id=engines.ids.uuid(),
        received=engines.clock.time(),
        account=held.identity.account,
        region=target.region,
        identity=held.identity,
    )
