"""The roles in which trails write to log groups, where permissions are enforced: a log group has no policy to ask."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from datetime import datetime

from ....call import Call, Source
from ....identity.principals import Identity, Session
from ....storage.store import Store
from ....wire import arns
from ....wire.http import Request
from ...engines import Engines
from ..trails.model import PRINCIPAL, Trail

#: A session is not used in its last minutes.
_MARGIN = 300.0


@dataclass(slots=True, frozen=True)
class _Held:
    identity: Identity
    expires: float


#: By the trail's ARN and the role's.
_held: weakref.WeakKeyDictionary[Store, dict[tuple[str, str], _Held]] = weakref.WeakKeyDictionary()


async def caller(engines: Engines, trail: Trail, region: str) -> Call:
    """CloudTrail in the trail's role: a call to be forwarded. STS's error where it may not assume the role."""
    sessions = _held.setdefault(engines.store, {})
    now = engines.clock.time()
    for key in [key for key, held in sessions.items() if held.expires - _MARGIN <= now]:
        del sessions[key]
    found = sessions.get((trail.arn, trail.log_role))
    if found is None:
        found = sessions[trail.arn, trail.log_role] = await _assume(engines, trail)
    return Call(
        request=Request("POST", "/", "", {}),
        source=Source(PRINCIPAL),
        request_id=engines.ids.uuid(),
        event_id=engines.ids.uuid(),
        received=now,
        account=found.identity.account,
        region=region,
        identity=found.identity,
    )


async def _assume(engines: Engines, trail: Trail) -> _Held:
    role = arns.parse(trail.log_role)
    output = await engines.internal.call(
        "sts",
        "AssumeRole",
        {"RoleArn": trail.log_role, "RoleSessionName": f"CLOUDTRAIL_{trail.name}"[:64]},
        principal=PRINCIPAL,
        account=trail.account,
        region=trail.region,
        source_arn=trail.arn,
    )
    given, user = output["Credentials"], output["AssumedRoleUser"]
    issuer = {
        "type": "Role",
        "principalId": str(user["AssumedRoleId"]).partition(":")[0],
        "arn": trail.log_role,
        "accountId": role.account,
        "userName": trail.log_role.rpartition("/")[2],
    }
    identity = Identity(
        "AssumedRole",
        role.account,
        principal_id=user["AssumedRoleId"],
        arn=user["Arn"],
        access_key=given["AccessKeyId"],
        session=Session(engines.clock.time(), issuer=issuer),
    )
    expires = given["Expiration"]
    return _Held(identity, expires.timestamp() if isinstance(expires, datetime) else float(expires))
