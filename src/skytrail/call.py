"""A call on its way through the pipeline. Each step fills in what it has learnt; nothing here knows HTTP's sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import ServiceError
from .identity.principals import Identity
from .storage.store import Transaction
from .wire.http import Request, Response
from .wire.models import Service
from .wire.routing import Route


@dataclass(slots=True, frozen=True)
class Tls:
    version: str
    cipher_suite: str


@dataclass(slots=True, frozen=True)
class Source:
    """Where a call came from."""

    address: str
    #: True where the call came over the data directory's own socket, which only its owner can open.
    operator: bool = False
    tls: Tls | None = None


@dataclass(slots=True)
class Call:
    request: Request
    source: Source
    request_id: str
    event_id: str
    received: float
    account: str
    region: str
    identity: Identity
    route: Route | None = None
    #: Where no model has the operation that was asked for: its service, and the name, if any.
    asked: tuple[Service, str] | None = None
    input: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    error: ServiceError | None = None
    #: What a handler adds to the record: additionalEventData, resources that the input alone does not name.
    additional_event_data: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, str]] = field(default_factory=list)
    response: Response | None = None
    #: The Region of the resource that the call is about, where it is not that of the call.
    resource_region: str = ""
    #: The account of the bucket that the call is about, whether the call is allowed or not.
    resource_account: str = ""
    #: Another account whose resource the call is about: it gets a record of its own, by the id that both share.
    owner: str = ""
    shared_event_id: str = ""
    #: The resource for which one of our services calls, as aws:SourceArn tells.
    source_arn: str = ""
    #: The service through which another one of ours calls, such as S3 that asks KMS for CloudTrail's data key.
    via: str = ""
    #: Whether a call of one of our services must be allowed by the resource's policy in open mode too.
    needs_policy: bool = False
    #: The request as it came, for an upstream to have; None for what our own services call.
    sent: Request | None = None
    #: True while the journal's file holds an intent of this call.
    intent: bool = False


class Change:
    """What a handler returns when it wants to change state: it runs in the writer, and commits with the call's record.

    `apply` returns the call's output, or raises a ServiceError; then nothing of it stays and the error is recorded.
    """

    __slots__ = ("apply",)

    def __init__(self, apply: Callable[[Transaction], dict[str, Any]]) -> None:
        self.apply = apply
