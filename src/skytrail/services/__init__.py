"""The services: one room for each, operations as functions grouped by resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from ..call import Call
from ..identity.demands import Demand
from ..settings import Settings
from ..storage.store import Transaction
from ..wire.routing import Route
from ..work import outbox
from . import cloudtrail, iam, kms, lambda_, organizations, s3, sns, sqs, sts
from .engines import Demands, Engines, Handler, Operations, Outcome

__all__ = ["ROOMS", "SCHEMAS", "STARTS", "STOPS", "Outcome", "demands", "handler", "lenient"]

#: Service name in botocore -> its operations.
ROOMS: Mapping[str, Operations] = {
    "cloudtrail": cloudtrail.OPERATIONS,
    "iam": iam.OPERATIONS,
    "kms": kms.OPERATIONS,
    "lambda": lambda_.OPERATIONS,
    "organizations": organizations.OPERATIONS,
    "s3": s3.OPERATIONS,
    "sns": sns.OPERATIONS,
    "sqs": sqs.OPERATIONS,
    "sts": sts.OPERATIONS,
}

#: The steps of the tables that are not the store's own: the outbox's, and by service name the rooms'.
SCHEMAS: Mapping[str, Sequence[str]] = {
    "cloudtrail": cloudtrail.SCHEMA,
    "lambda": lambda_.SCHEMA,
    "outbox": outbox.SCHEMA,
    "s3": s3.SCHEMA,
    "sns": sns.SCHEMA,
    "sqs": sqs.SCHEMA,
}

_LENIENT: Mapping[str, Collection[str]] = {"cloudtrail": cloudtrail.LENIENT, "s3": s3.LENIENT, "sqs": sqs.LENIENT}

#: What rooms do besides answering calls: begun when the server starts, ended when it stops.
STARTS: Sequence[Callable[[Engines], None]] = (
    cloudtrail.start,
    kms.start,
    lambda_.start,
    s3.start,
    sns.start,
    sqs.start,
)
STOPS: Sequence[Callable[[Engines], Awaitable[None]]] = (
    cloudtrail.stop,
    lambda_.stop,
    s3.stop,
    sns.stop,
)

#: Service name -> what its calls demand, where the service knows more of it than the model does.
_DEMANDS: Mapping[str, Demands] = {
    "cloudtrail": cloudtrail.demands,
    "kms": kms.demands,
    "lambda": lambda_.demands,
    "s3": s3.demands,
    "sns": sns.demands,
    "sqs": sqs.demands,
    "sts": sts.demands,
}


def demands(call: Call, engines: Engines) -> Sequence[Demand] | None:
    assert call.route is not None
    of_service = _DEMANDS.get(call.route.service.name)
    return of_service(call, engines) if of_service is not None else None


def handler(route: Route) -> Handler | None:
    return ROOMS.get(route.service.name, {}).get(route.operation.name)


def answers(route: Route, settings: Settings) -> bool:
    """Whether a call stays here though an upstream would take whatever is not here."""
    if route.service.name == "organizations" and not settings.organization.id:
        return False
    return handler(route) is not None


def wants(engines: Engines, account: str, region: str, data_type: str) -> bool:
    """Whether anybody may want the record of a data event of this type."""
    return engines.settings.history.data_events == "all" or cloudtrail.wants(engines, account, region, data_type)


def takes(engines: Engines, record: bytes) -> bool:
    """Whether anybody wants the record of a data event."""
    return engines.settings.history.data_events == "all" or cloudtrail.takes(engines, record)


def appended(transaction: Transaction, position: int) -> None:
    """A record has its place in the journal."""
    cloudtrail.appended(transaction, position)


def lenient(route: Route) -> bool:
    """Whether the operation answers values outside the model's ranges and enums with errors of its own."""
    return route.operation.name in _LENIENT.get(route.service.name, ())
