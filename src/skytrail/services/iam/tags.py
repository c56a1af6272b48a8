"""Tags: what may be one, and how they are shown.

Keys are compared without regard to case: a tag that is given again in another case takes the place of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ServiceError
from . import quotas

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import TagTypeDef

Tags = tuple[tuple[str, str], ...]


def checked(given: Sequence[TagTypeDef]) -> Tags:
    if any(text.lower().startswith("aws:") for tag in given for text in (tag["Key"], tag["Value"])):
        raise ServiceError("InvalidInputException", "Tags that begin with aws: are reserved for AWS.")
    if len({tag["Key"].lower() for tag in given}) != len(given):
        raise ServiceError(
            "InvalidInputException", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    return tuple((tag["Key"], tag["Value"]) for tag in given)


def joined(old: Tags, new: Tags) -> Tags:
    tags = (*without(old, (key for key, _ in new)), *new)
    if len(tags) > quotas.TAGS:
        raise ServiceError("LimitExceededException", "The number of tags has reached the maximum limit.")
    return tags


def without(tags: Tags, keys: Iterable[str]) -> Tags:
    gone = {key.lower() for key in keys}
    return tuple(tag for tag in tags if tag[0].lower() not in gone)


def shown(tags: Tags) -> dict[str, Any]:
    """The member of an output; nothing where there are no tags."""
    return {"Tags": [show(tag) for tag in tags]} if tags else {}


def show(tag: tuple[str, str]) -> dict[str, str]:
    return {"Key": tag[0], "Value": tag[1]}
