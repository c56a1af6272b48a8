"""What may be said of a trail: the forms of its members, before anything is asked of the services that they name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from ....call import Call
from ....errors import ServiceError
from ....wire import arns
from ..delivery import layout
from .model import Trail

LONGEST_PREFIX, LONGEST_TOPIC = 200, 256
#: Of an object's key, in bytes; and no Region has a longer name.
_LONGEST_KEY, _LONGEST_REGION = 1024, "ap-northeast-1-long"

_BUCKET = re.compile(r"[a-z0-9.-]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,256}")
_KEY_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32}")
_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")
_LOG_GROUP = re.compile(r"log-group:[A-Za-z0-9_/.#-]{1,512}:\*")
_ROLE = re.compile(r"role/([!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

#: Members that need no more than to be kept.
_PLAIN = {
    "IncludeGlobalServiceEvents": "global_events",
    "IsMultiRegionTrail": "multi_region",
    "EnableLogFileValidation": "validation",
    "RecursiveLogging": "recursive",
}


def changes(call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """A trail's fields that a request gives, in the right form; the key as it is named. Empty texts take away."""
    found: dict[str, Any] = {field: request[member] for member, field in _PLAIN.items() if member in request}
    if "S3BucketName" in request:
        found["bucket"] = _bucket(request["S3BucketName"])
    if "S3KeyPrefix" in request:
        found["prefix"] = _prefix(request["S3KeyPrefix"])
    if "SnsTopicName" in request:
        found["topic_name"] = request["SnsTopicName"]
        found["topic"] = _topic(call, request["SnsTopicName"]) if request["SnsTopicName"] else ""
    if "KmsKeyId" in request:
        found["kms_key"] = _key(request["KmsKeyId"]) if request["KmsKeyId"] else ""
    if "CloudWatchLogsLogGroupArn" in request:
        group = request["CloudWatchLogsLogGroupArn"]
        found["log_group"] = _log_group(call, group) if group else ""
    if "CloudWatchLogsRoleArn" in request:
        role = request["CloudWatchLogsRoleArn"]
        found["log_role"] = _log_role(call, role) if role else ""
    return found


def check_whole(trail: Trail) -> None:
    """What no trail may be, whatever the request was that would make it so."""
    if trail.multi_region and not trail.global_events:
        raise _combination("Multi-Region trail must include global service events.")
    if bool(trail.log_group) != bool(trail.log_role):
        raise _combination("You must specify both a log group ARN and a role ARN.")
    folder = layout.account_folder(trail.prefix, trail.organization, trail.account)
    if len((folder + layout.digest(trail, trail.account, _LONGEST_REGION, 0.0)).encode()) > _LONGEST_KEY:
        raise ServiceError("InvalidS3PrefixException", "With this S3 prefix the names of digest files are too long.")


def _bucket(name: str) -> str:
    reason = ""
    if not name:
        reason = "cannot be blank!"
    elif not 3 <= len(name) <= 63:
        reason = "should be between 3 and 63 characters long"
    elif any(letter.isupper() for letter in name):
        reason = "should not contain uppercase characters"
    elif not _BUCKET.fullmatch(name):
        reason = "should only contain lowercase letters, numbers, periods and dashes"
    elif _is_address(name):
        reason = "must not be formatted as an IP Address"
    elif not all(_LABEL.fullmatch(label) for label in name.split(".")):
        reason = "should have labels that start and end with a lowercase letter or a number"
    if reason:
        raise ServiceError("InvalidS3BucketNameException", f"Bucket name {reason}")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def _prefix(prefix: str) -> str:
    if len(prefix) > LONGEST_PREFIX:
        raise ServiceError("InvalidS3PrefixException", f"S3 prefix must have a maximum of {LONGEST_PREFIX} characters.")
    if _CONTROL.search(prefix) or not _is_text(prefix):
        raise ServiceError("InvalidS3PrefixException", "S3 prefix contains characters that are not allowed.")
    return prefix


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _topic(call: Call, text: str) -> str:
    """The topic's ARN; a name is one of the caller's own topics in the trail's Region."""
    invalid = ServiceError("InvalidSnsTopicNameException", f"SNS topic name is invalid: {text[:LONGEST_TOPIC]}")
    if len(text) > LONGEST_TOPIC:
        raise ServiceError(
            "InvalidSnsTopicNameException", f"SNS topic name must have a maximum of {LONGEST_TOPIC} characters."
        )
    if not text.startswith("arn:"):
        if not _TOPIC.fullmatch(text):
            raise invalid
        return arns.format("sns", call.region, call.account, text, arns.partition_of(call.region))
    found = _parsed(text)
    if found is None or found.service != "sns" or not found.region or not arns.is_account(found.account):
        raise invalid
    if not _TOPIC.fullmatch(found.resource):
        raise invalid
    return text


def _key(text: str) -> str:
    name = text
    if text.startswith("arn:"):
        found = _parsed(text)
        if found is None or found.service != "kms" or not found.region or not arns.is_account(found.account):
            raise _invalid_key(text)
        name = found.resource
        if name.startswith("key/"):
            name = name.removeprefix("key/")
        elif not name.startswith("alias/"):
            raise _invalid_key(text)
    if not (_KEY_ID.fullmatch(name) or _ALIAS.fullmatch(name)):
        raise _invalid_key(text)
    return text


def _invalid_key(text: str) -> ServiceError:
    return ServiceError("InvalidKmsKeyIdException", f"The KMS key identifier is not valid: {text[:512]}")


def _log_group(call: Call, text: str) -> str:
    """A group of the caller's own in the trail's Region, with all its streams: AWS's ARNs of groups end with `:*`."""
    found = _parsed(text)
    if (
        found is None
        or found.service != "logs"
        or (found.region, found.account) != (call.region, call.account)
        or not _LOG_GROUP.fullmatch(found.resource)
    ):
        raise ServiceError(
            "InvalidCloudWatchLogsLogGroupArnException", "CloudTrail cannot validate the specified log group ARN."
        )
    return text


def _log_role(call: Call, text: str) -> str:
    found = _parsed(text)
    if (
        found is None
        or found.service != "iam"
        or found.region
        or found.account != call.account
        or not _ROLE.fullmatch(found.resource)
    ):
        raise ServiceError(
            "InvalidCloudWatchLogsRoleArnException", "CloudTrail cannot validate the specified role ARN."
        )
    return text


def _parsed(text: str) -> arns.Arn | None:
    try:
        return arns.parse(text)
    except ValueError:
        return None


def _combination(message: str) -> ServiceError:
    return ServiceError("InvalidParameterCombinationException", message)
