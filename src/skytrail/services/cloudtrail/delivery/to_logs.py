"""Records, to a log group of CloudWatch Logs: one log event a record, in a stream for each account and Region."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import ServiceError
from ....wire import arns
from ...engines import Engines
from ..trails import log_groups
from ..trails.model import PRINCIPAL, Trail
from . import log_roles

#: A larger record goes to the bucket only.
LARGEST = 256 << 10
#: What one PutLogEvents takes: bytes, with so many more for each event; events; milliseconds from first to last.
BYTES, OVERHEAD, EVENTS, SPAN = 1_048_576, 26, 10_000, 24 * 3_600_000 - 1

_log = logging.getLogger(__name__)

LogEvent = dict[str, Any]


async def send(
    engines: Engines, trail: Trail, account: str, region: str, records: Sequence[tuple[float, bytes]], *, insight: bool
) -> None:
    """Records with their times, in seconds. Raises what Logs answers, when some may have arrived: they come again with
    the next try. What the log group refuses, since it is too old for it, is let go, and logged."""
    stream = log_groups.stream_name(trail, account, region, insight=insight)
    group = _Group.of(engines, trail)
    for batch in batches(records):
        answer = await group.put(stream, batch)
        refused = _refused(answer.get("rejectedLogEventsInfo") or {}, len(batch))
        if refused:
            _log.warning("%s: %s does not take %d records of %s", trail.arn, trail.log_group, refused, stream)


def batches(records: Sequence[tuple[float, bytes]]) -> Iterator[list[LogEvent]]:
    """In the order of their times, in as many pieces as Logs wants."""
    batch: list[LogEvent] = []
    size = 0
    for time, data in sorted(records, key=lambda record: record[0]):
        if len(data) > LARGEST:
            continue
        moment, weight = int(time * 1000), len(data) + OVERHEAD
        if batch and (size + weight > BYTES or len(batch) == EVENTS or moment - int(batch[0]["timestamp"]) > SPAN):
            yield batch
            batch, size = [], 0
        batch.append({"timestamp": moment, "message": data.decode()})
        size += weight
    if batch:
        yield batch


@dataclass(slots=True, frozen=True)
class _Group:
    engines: Engines
    trail: Trail
    name: str
    region: str

    @classmethod
    def of(cls, engines: Engines, trail: Trail) -> _Group:
        arn = arns.parse(trail.log_group)
        return cls(engines, trail, arn.resource.removeprefix("log-group:").removesuffix(":*"), arn.region)

    async def put(self, stream: str, batch: list[LogEvent]) -> dict[str, Any]:
        events = {"logEvents": batch}
        try:
            return await self._call("PutLogEvents", stream, events)
        except ServiceError as error:
            if error.code != "ResourceNotFoundException":
                raise
        # The stream is missing, or the whole group; then this tells.
        try:
            await self._call("CreateLogStream", stream, {})
        except ServiceError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise
        return await self._call("PutLogEvents", stream, events)

    async def _call(self, operation: str, stream: str, more: Mapping[str, Any]) -> dict[str, Any]:
        engines, trail = self.engines, self.trail
        parameters = {"logGroupName": self.name, "logStreamName": stream, **more}
        if engines.settings.server.mode == "enforced":
            caller = await log_roles.caller(engines, trail, self.region)
            return await engines.internal.forward(caller, "logs", operation, parameters, by=PRINCIPAL)
        return await engines.internal.call(
            "logs",
            operation,
            parameters,
            principal=PRINCIPAL,
            account=trail.account,
            region=self.region,
            source_arn=trail.arn,
        )


def _refused(info: Mapping[str, Any], count: int) -> int:
    """Of so many events: those before the one index, and those from the other on."""
    old = max(info.get("tooOldLogEventEndIndex", 0), info.get("expiredLogEventEndIndex", 0))
    return int(old) + count - int(info.get("tooNewLogEventStartIndex", count))
