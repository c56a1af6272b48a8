"""Batches: up to ten entries, each of which succeeds or fails by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import ServiceError

MOST = 10
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


def check(entries: Sequence[Mapping[str, Any]]) -> None:
    if not entries:
        raise ServiceError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > MOST:
        raise ServiceError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {MOST}. You have sent {len(entries)}.",
        )
    seen: set[str] = set()
    for entry in entries:
        name: str = entry["Id"]
        if not _ID.fullmatch(name):
            raise ServiceError(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
        if name in seen:
            raise ServiceError("BatchEntryIdsNotDistinct", f"Id {name} repeated.")
        seen.add(name)


def each(entries: Sequence[Any], do: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """The answer to a batch."""
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **do(entry)})
        except ServiceError as error:
            failed.append(failure(entry["Id"], error))
    return {"Successful": successful, "Failed": failed}


def failure(name: str, error: ServiceError) -> dict[str, Any]:
    return {"Id": name, "SenderFault": True, "Code": error.code, "Message": error.message or ""}
