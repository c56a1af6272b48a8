"""How trails are named: the rules of names, and ARNs."""

from __future__ import annotations

import ipaddress
import re

from ....errors import ServiceError
from ....wire import arns
from ....wire.arns import Arn

SHORTEST, LONGEST = 3, 128
_CHARACTERS = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_ADJACENT = re.compile(r"[._-]{2}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_PREFIX = "trail/"


def check(name: str) -> None:
    """InvalidTrailNameException where no trail may be named so."""
    reason = _wrong(name)
    if reason:
        raise ServiceError("InvalidTrailNameException", reason)


def _wrong(name: str) -> str:
    if not name.strip():
        return "Trail name cannot be blank!"
    if len(name) < SHORTEST:
        return f"Trail name must have a minimum of {SHORTEST} characters."
    if len(name) > LONGEST:
        return f"Trail name must have a maximum of {LONGEST} characters."
    if not _CHARACTERS.fullmatch(name):
        return (
            "Trail name or ARN can contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), "
            "and underscores (_)."
        )
    if not name[0].isalnum():
        return "Trail name must start with a letter or number."
    if not name[-1].isalnum():
        return "Trail name must end with a letter or number."
    if _ADJACENT.search(name):
        return "Trail name must not have adjacent periods, underscores or dashes."
    if _is_address(name):
        return "Trail name must not be in IP address format."
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def is_arn(text: str) -> bool:
    """Whether it is meant to be an ARN, and no name."""
    return text.startswith("arn:")


def parse_arn(text: str) -> tuple[str, str, str]:
    """Account, home Region and name of the trail with this ARN; CloudTrailARNInvalidException where it is none."""
    found = arn_of_cloudtrail(text)
    if not found.resource.startswith(_PREFIX):
        raise invalid_arn(text)
    name = found.resource.removeprefix(_PREFIX)
    if _wrong(name):
        raise invalid_arn(text)
    return found.account, found.region, name


def arn_of_cloudtrail(text: str) -> Arn:
    """The parts of the ARN of anything that CloudTrail has."""
    try:
        found = arns.parse(text)
    except ValueError:
        raise invalid_arn(text) from None
    if (
        found.service != "cloudtrail"
        or not arns.is_account(found.account)
        or not _REGION.fullmatch(found.region)
        or found.partition != arns.partition_of(found.region)
    ):
        raise invalid_arn(text)
    return found


def invalid_arn(text: str) -> ServiceError:
    return ServiceError("CloudTrailARNInvalidException", f"CloudTrail ARN is invalid: {text}")
