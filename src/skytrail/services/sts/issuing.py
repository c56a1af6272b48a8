"""What all temporary credentials share: session policies, tags, the size of the token, the answer."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ...call import Call
from ...errors import MalformedPolicy, ServiceError
from ...identity import key_ids, managed, policy, sessions
from ...identity.principals import Session
from ...storage.state import Reader
from ...wire import arns
from ..engines import Engines

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import TagTypeDef

Kind = Literal["Root", "IAMUser", "AssumedRole", "FederatedUser"]

LONGEST_POLICY = 2048
MOST_POLICY_ARNS = 10
MOST_TAGS = 50
#: Bytes of session policies and tags, deflated. AWS does not publish its own limit.
MOST_PACKED = 2048
#: Characters of a token that nobody asked to be longer.
USUAL_TOKEN = 4096


class Bounds(msgspec.Struct, frozen=True):
    """Session policies: one inline, the others by their ARNs."""

    policy: str = ""
    arns: tuple[str, ...] = ()


class Tags(msgspec.Struct, frozen=True):
    pairs: tuple[tuple[str, str], ...] = ()
    #: Keys of those that sessions assumed from this one inherit.
    transitive: tuple[str, ...] = ()


def bounds(reader: Reader, request: Mapping[str, Any], account: str) -> Bounds:
    """The session policies that a call gives; managed ones are the account's own, or AWS's."""
    document, given = request.get("Policy", ""), request.get("PolicyArns", ())
    if len(document) > LONGEST_POLICY:
        raise invalid(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
            f"Member must have length less than or equal to {LONGEST_POLICY}"
        )
    if len(given) > MOST_POLICY_ARNS:
        raise invalid(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MOST_POLICY_ARNS}"
        )
    if document:
        try:
            policy.parse(document, "session")
        except MalformedPolicy as error:
            raise ServiceError("MalformedPolicyDocumentException", str(error)) from error
    named = tuple(dict.fromkeys(str(each.get("arn", "")) for each in given))
    for arn in named:
        _check_managed(reader, arn, account)
    return Bounds(document, named)


def _check_managed(reader: Reader, arn: str, account: str) -> None:
    try:
        owner = arns.parse(arn).account
    except ValueError:
        raise invalid(f"The specified policy ARN is not valid: {arn}") from None
    if owner not in (account, managed.AWS) or managed.document(reader, arn) is None:
        raise invalid(f"Policy {arn} does not exist or is not attachable.")


def tags(given: Sequence[TagTypeDef], transitive: Sequence[str], session: Session | None) -> Tags:
    """The session tags that a call gives, after those that the caller's own session hands on."""
    asked = [(tag["Key"], tag["Value"]) for tag in given]
    keys = [key.lower() for key, _ in asked]
    if len(set(keys)) != len(keys):
        raise _invalid_value("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key in keys:
        if key.startswith("aws:"):
            raise _invalid_value("Tag keys that begin with aws: are reserved for internal use.")
    if not {key.lower() for key in transitive} <= set(keys):
        raise _invalid_value("The specified transitive tag key must be included in the requested tags.")
    inherited = inherited_tags(session)
    if not {key.lower() for key, _ in inherited}.isdisjoint(keys):
        raise _invalid_value(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key "
            "from the calling session."
        )
    pairs = (*inherited, *asked)
    if len(pairs) > MOST_TAGS:
        raise _invalid_value(f"A session has at most {MOST_TAGS} tags, those that it inherits among them.")
    wanted = {key.lower() for key in transitive}
    handed_on = (*(key for key, _ in inherited), *(key for key, _ in asked if key.lower() in wanted))
    return Tags(pairs, handed_on)


def inherited_tags(session: Session | None) -> tuple[tuple[str, str], ...]:
    if session is None:
        return ()
    return tuple((key, value) for key, value in session.tags if key in session.transitive)


# The credentials


def begin(call: Call, engines: Engines, kind: Kind, issuer: dict[str, str], seconds: int) -> sessions.Held:
    """A session of whole seconds, as it is answered, with a key of its own in its issuer's account."""
    issued = float(int(call.received))
    account = issuer["accountId"]
    return sessions.Held(
        key=key_ids.new("ASIA", account, engines.ids),
        secret=engines.ids.secret_key(),
        account=account,
        type=kind,
        issued=issued,
        expires=issued + seconds,
        issuer=issuer,
    )


def issue(engines: Engines, held: sessions.Held, minimum: int) -> dict[str, Any]:
    """The answer's members that tell of the credentials; their token is at least `minimum` characters long."""
    packed = _packed_size(held)
    token = sessions.seal(engines.sealer, held)
    if packed > 100 or len(token) > USUAL_TOKEN:
        what = "Packed policy" if held.policy or held.policy_arns else "Packed size of session tags"
        size = max(packed, len(token) * 100 // USUAL_TOKEN)
        advice = ", please use smaller policy." if held.policy or held.policy_arns else "."
        raise ServiceError("PackedPolicyTooLargeException", f"{what} consumes {size}% of allotted space{advice}")
    while len(token) < minimum:
        noise = engines.ids.token_bytes((minimum - len(token)) * 3 // 4 + 8)
        held = msgspec.structs.replace(held, padding=held.padding + base64.b85encode(noise).decode())
        token = sessions.seal(engines.sealer, held)
    answer: dict[str, Any] = {
        "Credentials": {
            "AccessKeyId": held.key,
            "SecretAccessKey": held.secret,
            "SessionToken": token,
            "Expiration": datetime.fromtimestamp(held.expires, UTC),
        },
        "SessionTokenUtilization": min(100, -(-len(token) * 100 // USUAL_TOKEN)),
        "SessionTokenSize": len(token),
    }
    if packed:
        answer["PackedPolicySize"] = packed
    return answer


def _packed_size(held: sessions.Held) -> int:
    """Session policies and tags, in percent of what they may take."""
    texts: Iterable[str] = (held.policy, *held.policy_arns, *(text for pair in held.tags for text in pair))
    joined = "\0".join(text for text in texts if text).encode()
    return -(-len(zlib.compress(joined, 9)) * 100 // MOST_PACKED) if joined else 0


# Errors


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message, status=400)


def denied(message: str) -> ServiceError:
    return ServiceError("AccessDenied", message, status=403)


def _invalid_value(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message, status=400)


def no_such_device() -> ServiceError:
    """The answer to a code of a device for multi-factor authentication: no user has one."""
    return denied(
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is "
        "valid and associated with this user."
    )
