"""Every error that Skytrail raises on purpose.

SkytrailError
├── SettingsError              a setting is wrong; the message is for the person who wrote it
├── StorageError
│   ├── StoreLocked            another process holds the data directory
│   ├── StoreUnwritable        disk full, read-only, or gone: nothing of this write was kept
│   └── ColumnsError
│       ├── ColumnsUnavailable the columns' process is away; it is being restarted
│       ├── QueryFailed        the engine refused or failed the query (its code and message)
│       └── QueryTooLarge      the query met its memory or time limit
├── MalformedPolicy            a policy that cannot be evaluated; the message is for its author
└── ServiceError               what an AWS client is answered; never logged as a fault
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SkytrailError(Exception):
    pass


class SettingsError(SkytrailError):
    pass


class MalformedPolicy(SkytrailError):
    pass


class StorageError(SkytrailError):
    pass


class StoreLocked(StorageError):
    pass


class StoreUnwritable(StorageError):
    pass


class ColumnsError(StorageError):
    pass


class ColumnsUnavailable(ColumnsError):
    pass


class QueryFailed(ColumnsError):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class QueryTooLarge(QueryFailed):
    pass


class ServiceError(SkytrailError):
    """An error as AWS answers it. `code` is the error's name in the service's model, or a common one.

    `status` None means: the status of the model's error shape, else 400.
    `members` are further members of the modelled error shape. `headers` go with S3's answer, also where it has no body.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}
        self.headers = headers or {}
