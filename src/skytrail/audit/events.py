"""Records that are no calls: what a service does by itself, sign-ins, and events that others give (docs/record.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from ..wire import arns
from . import data_files
from .identities import instant, user_identity
from .parameters import document, encode, render
from .record import ADDITIONAL, PARAMETERS, RECORD, SHORT, VERSION, short, tls_details
from .redact import HIDDEN
from .resources import MOST, Resources

if TYPE_CHECKING:
    from ..call import Source
    from ..identity.principals import Identity

#: Whom a service's own doings are put down to.
INTERNAL = "AWS Internal"


def id_of(*parts: str) -> str:
    """An id made of what an event tells: the same each time that it is told."""
    digest = blake2b("\n".join(parts).encode(), digest_size=16, person=b"skytrail record").digest()
    return str(UUID(bytes=digest, version=4))


# What a service does by itself


@dataclass(slots=True, frozen=True)
class ServiceEvent:
    #: Such as "kms.amazonaws.com", and "RotateKey".
    source: str
    name: str
    account: str
    region: str
    time: float
    id: str
    resources: Resources
    details: Mapping[str, Any] | None = None
    additional: Mapping[str, Any] | None = None
    read_only: bool = False


def service_event(event: ServiceEvent) -> bytes:
    for room in (PARAMETERS, PARAMETERS // 12):
        encoded = encode(_service_event(event, room))
        if len(encoded) <= RECORD:
            break
    return encoded


def _service_event(event: ServiceEvent, room: int) -> dict[str, Any]:
    additional, omitted = _rendered(event.additional, min(room, ADDITIONAL))
    details, cut = _rendered(event.details, room)
    omitted |= cut or len(event.resources) > MOST
    record: dict[str, Any] = {
        "eventVersion": VERSION,
        "userIdentity": {"accountId": event.account, "invokedBy": INTERNAL},
        "eventTime": instant(event.time),
        "eventSource": event.source,
        "eventName": event.name,
        "awsRegion": event.region,
        "sourceIPAddress": INTERNAL,
        "userAgent": INTERNAL,
        "requestParameters": None,
        "responseElements": None,
    }
    if additional:
        record["additionalEventData"] = additional
    record["eventID"] = event.id
    record["readOnly"] = event.read_only
    if event.resources:
        record["resources"] = event.resources[:MOST]
    record |= {"eventType": "AwsServiceEvent", "managementEvent": True, "recipientAccountId": event.account}
    if details:
        record["serviceEventDetails"] = details
    record["eventCategory"] = "Management"
    if omitted:
        record["omitted"] = True
    return record


def _rendered(given: Mapping[str, Any] | None, room: int) -> tuple[Any, bool]:
    return render(document, dict(given), room) if given else (None, False)


# Sign-ins to the console


@dataclass(slots=True, frozen=True)
class Attempt:
    """Somebody signs in. Of a user whose name is not known to be one, `identity` has no name."""

    identity: Identity
    time: float
    id: str
    source: Source
    user_agent: str
    #: The Region of the endpoint that was used; "" for the global one.
    region: str = ""
    host: str = ""
    #: Why it failed; "" where it did not.
    error: str = ""


def console_login(attempt: Attempt, *, to: str, mfa_used: bool, mfa: str = "", mobile: bool = False) -> bytes:
    """`to`: the page that it leads to; `mfa`: the ARN of the device that was used."""
    additional = {"LoginTo": to, "MobileVersion": "Yes" if mobile else "No"}
    if mfa:
        additional["MFAIdentifier"] = mfa
    additional["MFAUsed"] = "Yes" if mfa_used else "No"
    return sign_in("ConsoleLogin", attempt, additional)


def switch_role(attempt: Attempt, *, switched_from: str, to: str) -> bytes:
    """In the account of the role, whose session is the identity; `switched_from`: the ARN of who took it."""
    return sign_in("SwitchRole", attempt, {"SwitchFrom": switched_from, "RedirectTo": to})


def check_mfa(attempt: Attempt, *, kind: str) -> bytes:
    """A user is asked for a second factor; `kind`: such as "Virtual MFA" or "Multiple MFA Devices"."""
    return sign_in("CheckMfa", attempt, {"MfaType": kind})


def sign_in(name: str, attempt: Attempt, additional: Mapping[str, str] | None = None) -> bytes:
    """An event of signin.amazonaws.com; `name` is also the answer's only member."""
    identity = attempt.identity
    agent, omitted = short(attempt.user_agent)
    record: dict[str, Any] = {
        "eventVersion": VERSION,
        "userIdentity": _who_signs_in(attempt),
        "eventTime": instant(attempt.time),
        "eventSource": "signin.amazonaws.com",
        "eventName": name,
        "awsRegion": _sign_in_region(attempt),
        "sourceIPAddress": attempt.source.address,
        "userAgent": agent,
    }
    if attempt.error:
        record["errorMessage"], cut = short(attempt.error)
        omitted |= cut
    record["requestParameters"] = None
    record["responseElements"] = {name: "Failure" if attempt.error else "Success"}
    shown = {member: short(value) for member, value in (additional or {}).items()}
    if shown:
        record["additionalEventData"] = {member: value for member, (value, _) in shown.items()}
        omitted |= any(cut for _, cut in shown.values())
    record |= {
        "eventID": attempt.id,
        "readOnly": False,
        "eventType": "AwsConsoleSignIn",
        "managementEvent": True,
        "recipientAccountId": identity.account,
        "eventCategory": "Management",
    }
    if attempt.source.tls is not None:
        record["tlsDetails"] = tls_details(attempt.source.tls, attempt.host)
    if omitted:
        record["omitted"] = True
    return encode(record)


def _who_signs_in(attempt: Attempt) -> dict[str, Any]:
    """Who signs in has no access key. A user who failed has no ARN, and what is no user's name may be a password."""
    identity = attempt.identity
    shown = {name: value for name, value in user_identity(identity).items() if name != "accessKeyId"}
    if identity.type == "Root" or (identity.type == "IAMUser" and attempt.error):
        shown["accessKeyId"] = ""
    if identity.type == "IAMUser" and attempt.error:
        shown.pop("arn", None)
        shown["userName"] = identity.user_name or HIDDEN
    return shown


def _sign_in_region(attempt: Attempt) -> str:
    """The endpoint's Region; roots, and who uses the global endpoint, sign in where the partition has its own."""
    if attempt.region and attempt.identity.type != "Root":
        return attempt.region
    partition = arns.partition_of(attempt.region) if attempt.region else "aws"
    region: str = data_files.load("global_services.json")["iam"].get(partition, attempt.region)
    return region


# Events that others give, by PutAuditEvents


class InvalidEvent(Exception):
    """An event that is not as CloudTrail's schema for events from outside has it; the message names the member."""


class _Member(NamedTuple):
    name: str
    #: Of a text: characters. Of an object: bytes of its JSON.
    most: int
    required: bool = True
    is_object: bool = False


_GIVEN = (
    _Member("version", 256),
    _Member("userIdentity", PARAMETERS, is_object=True),
    _Member("userAgent", SHORT, required=False),
    _Member("eventSource", SHORT),
    _Member("eventName", SHORT),
    _Member("eventTime", 64),
    _Member("UID", SHORT),
    _Member("requestParameters", PARAMETERS, required=False, is_object=True),
    _Member("responseElements", PARAMETERS, required=False, is_object=True),
    _Member("errorCode", 256, required=False),
    _Member("errorMessage", 256, required=False),
    _Member("sourceIPAddress", 256, required=False),
    _Member("recipientAccountId", 12),
    _Member("additionalEventData", ADDITIONAL, required=False, is_object=True),
)
_GIVEN_IDENTITY = (
    _Member("type", 128),
    _Member("principalId", SHORT),
    _Member("details", PARAMETERS, required=False, is_object=True),
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", re.ASCII)


def given(event: Mapping[str, Any], *, channel: str, account: str, region: str, time: float, event_id: str) -> bytes:
    """The record of an event from outside, which came through a channel (its ARN) of an account. Nothing of it is
    cut: what does not fit is refused with InvalidEvent."""
    data = _checked(event, _GIVEN, "")
    data["userIdentity"] = _checked(data["userIdentity"], _GIVEN_IDENTITY, "userIdentity.")
    if data["recipientAccountId"] != account:
        raise InvalidEvent(f"recipientAccountId is not {account}, the account of the channel")
    encoded = encode(
        {
            "eventVersion": VERSION,
            "eventCategory": "ActivityAuditLog",
            "eventType": "ActivityLog",
            "eventID": event_id,
            "eventTime": _moment(data["eventTime"]),
            "awsRegion": region,
            "recipientAccountId": account,
            "metadata": {"ingestionTime": instant(time), "channelARN": channel},
            "eventData": data,
        }
    )
    if len(encoded) > RECORD:
        raise InvalidEvent(f"the event is larger than {RECORD} bytes")
    return encoded


def _checked(value: Mapping[str, Any], members: Sequence[_Member], within: str) -> dict[str, Any]:
    unknown = value.keys() - {member.name for member in members}
    if unknown:
        raise InvalidEvent(f"{within}{min(unknown)} is no member of an event")
    found: dict[str, Any] = {}
    for member in members:
        inner = value.get(member.name)
        if inner is None:
            if member.required:
                raise InvalidEvent(f"{within}{member.name} is missing")
            continue
        if not isinstance(inner, dict if member.is_object else str) or inner == "":
            raise InvalidEvent(f"{within}{member.name} is not {'an object' if member.is_object else 'a text'}")
        if len(encode(inner) if member.is_object else inner) > member.most:
            unit = "bytes" if member.is_object else "characters"
            raise InvalidEvent(f"{within}{member.name} has more than {member.most} {unit}")
        found[member.name] = inner
    return found


def _moment(text: str) -> str:
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError(text)
        return instant(datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise InvalidEvent("eventTime is no time such as 2026-01-31T12:00:00Z") from None
