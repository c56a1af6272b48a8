"""CloudTrail: the event history, trails and their delivery, what proves them whole, and Insights."""

from __future__ import annotations

from ...storage.store import Transaction
from ..engines import Engines, Operations
from . import insights
from .aggregation import counting
from .delivery import chains, deliveries, entries, spool
from .history import lookup_events
from .integrity import keys, merkle
from .permissions import demands
from .selecting import event_configuration, events
from .selecting import insights as insight_selecting
from .trails import describing, logging_, managing, model, organization, resource_policies, status, tags

__all__ = ["LENIENT", "OPERATIONS", "SCHEMA", "appended", "demands", "forget", "lag", "start", "stop", "takes", "wants"]

OPERATIONS: Operations = {
    "AddTags": tags.add_tags,
    "CreateTrail": managing.create_trail,
    "DeleteResourcePolicy": resource_policies.delete_resource_policy,
    "DeleteTrail": managing.delete_trail,
    "DeregisterOrganizationDelegatedAdmin": organization.deregister_organization_delegated_admin,
    "DescribeTrails": describing.describe_trails,
    "GetEventConfiguration": event_configuration.get_event_configuration,
    "GetEventSelectors": events.get_event_selectors,
    "GetInsightSelectors": insight_selecting.get_insight_selectors,
    "GetResourcePolicy": resource_policies.get_resource_policy,
    "GetTrail": describing.get_trail,
    "GetTrailStatus": status.get_trail_status,
    "ListInsightsData": insights.list_insights_data,
    "ListInsightsMetricData": insights.list_insights_metric_data,
    "ListPublicKeys": keys.list_public_keys,
    "ListTags": tags.list_tags,
    "ListTrails": describing.list_trails,
    "LookupEvents": lookup_events,
    "PutEventConfiguration": event_configuration.put_event_configuration,
    "PutEventSelectors": events.put_event_selectors,
    "PutInsightSelectors": insight_selecting.put_insight_selectors,
    "PutResourcePolicy": resource_policies.put_resource_policy,
    "RegisterOrganizationDelegatedAdmin": organization.register_organization_delegated_admin,
    "RemoveTags": tags.remove_tags,
    "StartLogging": logging_.start_logging,
    "StopLogging": logging_.stop_logging,
    "UpdateTrail": managing.update_trail,
}

#: Operations that answer values outside the model's ranges and enums with errors of their own.
LENIENT: frozenset[str] = frozenset(
    {"LookupEvents", "PutEventConfiguration", "PutEventSelectors", "PutInsightSelectors"}
)

SCHEMA: tuple[str, ...] = (
    model.SCHEMA + spool.SCHEMA + chains.SCHEMA + merkle.SCHEMA,
    counting.SCHEMA,
)


def start(engines: Engines) -> None:
    deliveries.of(engines).start()
    insights.start(engines)


async def stop(engines: Engines) -> None:
    await deliveries.of(engines).stop()


def forget(engines: Engines) -> None:
    """Everything was reset."""
    deliveries.of(engines).reload()


def lag(engines: Engines) -> int:
    """How many records have not reached the trails yet."""
    return deliveries.of(engines).feed.lag()


def wants(engines: Engines, account: str, region: str, data_type: str) -> bool:
    """Whether a trail may take a data event of this type; its record tells for sure."""
    return deliveries.of(engines).present.wants(account, region, data_type)


def takes(engines: Engines, record: bytes) -> bool:
    """Whether a trail takes a record."""
    entry = entries.read(0, record)
    present = deliveries.of(engines).present
    return any(True for _ in present.of(entry.document, entry.account, entry.region, entry.category))


def appended(tx: Transaction, position: int) -> None:
    """A record has its place in the journal."""
    spool.note_causes(tx, position)
