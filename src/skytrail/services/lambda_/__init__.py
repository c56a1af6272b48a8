"""Lambda: functions, run as processes that speak the Lambda Runtime API."""

from __future__ import annotations

from ..engines import Engines, Operations
from . import (
    aliases,
    concurrency,
    destinations,
    event_configs,
    events,
    invoking,
    managing,
    mappings,
    permissions,
    tags,
    versions,
)
from .codes import SWEEP_SECONDS, clear_scratch
from .permissions import demands
from .polling import pollers_of
from .pool import REAP_SECONDS, pool_of
from .schema import SCHEMA

__all__ = ["OPERATIONS", "SCHEMA", "demands", "start", "stop"]

OPERATIONS: Operations = {
    "AddPermission": permissions.add_permission,
    "CreateAlias": aliases.create_alias,
    "CreateEventSourceMapping": mappings.create_event_source_mapping,
    "CreateFunction": managing.create_function,
    "DeleteAlias": aliases.delete_alias,
    "DeleteEventSourceMapping": mappings.delete_event_source_mapping,
    "DeleteFunction": managing.delete_function,
    "DeleteFunctionConcurrency": concurrency.delete_function_concurrency,
    "DeleteFunctionEventInvokeConfig": event_configs.delete_function_event_invoke_config,
    "GetAccountSettings": concurrency.get_account_settings,
    "GetAlias": aliases.get_alias,
    "GetEventSourceMapping": mappings.get_event_source_mapping,
    "GetFunction": managing.get_function,
    "GetFunctionConcurrency": concurrency.get_function_concurrency,
    "GetFunctionConfiguration": managing.get_function_configuration,
    "GetFunctionEventInvokeConfig": event_configs.get_function_event_invoke_config,
    "GetPolicy": permissions.get_policy,
    "Invoke": invoking.invoke,
    "InvokeAsync": invoking.invoke_async,
    "ListAliases": aliases.list_aliases,
    "ListEventSourceMappings": mappings.list_event_source_mappings,
    "ListFunctionEventInvokeConfigs": event_configs.list_function_event_invoke_configs,
    "ListFunctions": managing.list_functions,
    "ListTags": tags.list_tags,
    "ListVersionsByFunction": versions.list_versions_by_function,
    "PublishVersion": versions.publish_version,
    "PutFunctionConcurrency": concurrency.put_function_concurrency,
    "PutFunctionEventInvokeConfig": event_configs.put_function_event_invoke_config,
    "RemovePermission": permissions.remove_permission,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "UpdateAlias": aliases.update_alias,
    "UpdateEventSourceMapping": mappings.update_event_source_mapping,
    "UpdateFunctionCode": managing.update_function_code,
    "UpdateFunctionConfiguration": managing.update_function_configuration,
    "UpdateFunctionEventInvokeConfig": event_configs.update_function_event_invoke_config,
}


def start(engines: Engines) -> None:
    """Invoke what waits, poll queues, keep few processes idle, throw away code that nobody uses."""
    pool = pool_of(engines)
    clear_scratch(engines)
    events.open_lane(engines)
    destinations.open_lane(engines)
    engines.clock.every(REAP_SECONDS, pool.reap, upkeep=True)
    engines.clock.every(SWEEP_SECONDS, pool.sweep, upkeep=True)
    engines.clock.at(engines.clock.time(), pool.sweep)
    pollers_of(engines).start()


async def stop(engines: Engines) -> None:
    """No process of a function is left."""
    await pollers_of(engines).stop()
    await pool_of(engines).close()


async def forget(engines: Engines) -> None:
    """No function that was there runs on."""
    await pool_of(engines).empty()
