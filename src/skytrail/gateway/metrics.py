"""The server's own figures, for Prometheus."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from ..call import Call

#: Clients choose which operations they call, so the number of label values is bounded; beyond, they share this one.
_OTHER = "other"
_MOST_OPERATIONS = 500
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

Reading = Callable[[], float]
Readings = Callable[[], Mapping[str, float]]


class Columns(Protocol):
    """What is shown of the columns' process."""

    @property
    def state(self) -> str: ...

    @property
    def restarts(self) -> int: ...

    @property
    def pid(self) -> int | None: ...


class _Series:
    """The series of one operation, found once."""

    __slots__ = ("calls", "latency")

    def __init__(self, calls: Mapping[str, Counter], latency: Histogram) -> None:
        self.calls = calls
        self.latency = latency


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "skytrail_calls", "Calls answered.", ("service", "operation", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "skytrail_call_seconds",
            "From a call's arrival to its record's commit.",
            ("service", "operation"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._recorded = Counter("skytrail_records_written", "Records on disk.", registry=self._registry)
        self._lost = Counter("skytrail_records_lost", "Records that could not be written.", registry=self._registry)
        self._series: dict[tuple[str, str], _Series] = {}
        self._readings = _Readings()
        self._registry.register(self._readings)
        self.gauges("skytrail_process_resident_bytes", "Resident memory.", "process", _server_memory)

    # Counting

    def called(self, call: Call, now: float) -> None:
        """A call is done, `now` by the clock."""
        route = call.route
        if route is None:
            return
        key = route.service.name, route.operation.name
        series = self._series.get(key) or self._series_of(key)
        series.calls[_status(call)].inc()
        series.latency.observe(max(0.0, now - call.received))

    def recorded(self) -> None:
        self._recorded.inc()

    def lost(self) -> None:
        self._lost.inc()

    def _series_of(self, key: tuple[str, str]) -> _Series:
        if len(self._series) >= _MOST_OPERATIONS:
            return self._series.get((_OTHER, _OTHER)) or self._make((_OTHER, _OTHER))
        return self._make(key)

    def _make(self, key: tuple[str, str]) -> _Series:
        calls = {status: self._calls.labels(*key, status) for status in ("2xx", "3xx", "4xx", "5xx")}
        series = self._series[key] = _Series(calls, self._latency.labels(*key))
        return series

    # Reading

    def gauge(self, name: str, documentation: str, read: Reading) -> None:
        """A value read when it is asked for."""
        self._readings.add(lambda: GaugeMetricFamily(name, documentation, value=read()))

    def gauges(self, name: str, documentation: str, label: str, read: Readings) -> None:
        """Values read when they are asked for, one for each value of `label`."""

        def family() -> Metric:
            metric = GaugeMetricFamily(name, documentation, labels=(label,))
            for value, number in read().items():
                metric.add_metric((value,), number)
            return metric

        self._readings.add(family)

    def watch_connections(self, connections: Reading, bodies_bytes: Reading) -> None:
        self.gauge("skytrail_connections", "Open connections.", connections)
        self.gauge("skytrail_bodies_bytes", "Bytes of requests' bodies held in memory.", bodies_bytes)

    def watch_journal(self, lag: Readings) -> None:
        """`lag`: how many records each consumer has still to read."""
        self.gauges("skytrail_journal_lag_records", "Records that a consumer has not read yet.", "consumer", lag)

    def watch_columns(self, columns: Columns) -> None:
        def restarts() -> Metric:
            return CounterMetricFamily(
                "skytrail_columns_restarts", "Restarts of the columns' process.", value=columns.restarts
            )

        def memory() -> dict[str, float]:
            size = resident_bytes(columns.pid) if columns.pid is not None else None
            return {**_server_memory(), **({"columns": float(size)} if size is not None else {})}

        self._readings.add(restarts)
        self.gauges(
            "skytrail_columns_state", "1 for the state that the columns are in.", "state", lambda: {columns.state: 1}
        )
        self.gauges("skytrail_process_resident_bytes", "Resident memory.", "process", memory)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The page, and its content type, in the form that `accept` asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Readings(Collector):
    """Families by name; a later one replaces one of the same name."""

    def __init__(self) -> None:
        self._families: dict[str, Callable[[], Metric]] = {}

    def add(self, family: Callable[[], Metric]) -> None:
        self._families[family().name] = family

    def collect(self) -> Iterable[Metric]:
        return [family() for family in self._families.values()]

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _status(call: Call) -> str:
    error = call.error
    if error is None:
        return "2xx"
    status = error.status
    if status is None and call.route is not None:
        model = call.route.service.model.shape_for_error_code(error.code)
        status = model.metadata.get("error", {}).get("httpStatusCode") if model is not None else None
    return f"{min(5, max(2, (status or 400) // 100))}xx"


def _server_memory() -> dict[str, float]:
    return {"server": float(resident_bytes(os.getpid()) or 0)}


def resident_bytes(pid: int) -> int | None:
    """A process's resident memory; without /proc only this process's own, its peak."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        if pid != os.getpid() or sys.platform == "linux":
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
