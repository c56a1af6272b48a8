"""The server's own paths."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from skytrail.call import Call, Source
from skytrail.errors import ServiceError
from skytrail.gateway.control import Control, Vitals
from skytrail.gateway.metrics import Metrics, resident_bytes
from skytrail.wire.http import Request, Response
from skytrail.work.clock import Clock

from .raw import Recorder, post, run, running, settings_of

PUBLIC, OPERATOR = Source("127.0.0.1"), Source("127.0.0.1", operator=True)
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp()


@dataclass
class House:
    """A control with engines that are only pretended."""

    overrides: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    metrics: Metrics = field(default_factory=Metrics)
    columns: str = "ready"
    journal: bool = True
    stopping: bool = False
    resets: int = 0
    certificates: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vitals = Vitals(
            "1.2.3", ["sts", "cloudtrail"], lambda: self.columns, lambda: self.journal, lambda: self.stopping
        )
        settings = settings_of(**self.overrides)
        paths = {"/_skytrail/echo": self._echo, "/_skytrail/operate": self._echo}
        self.control = Control(settings, self.clock, self.metrics, vitals, self._reset, paths, self.certificates.get)

    async def _reset(self) -> None:
        self.resets += 1

    async def _echo(self, body: bytes) -> AsyncIterator[bytes]:
        yield body + b"\n"

    def ask(
        self, method: str, path: str, body: Any = None, source: Source = PUBLIC, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        request = Request(method, path, "", headers or {}, encoded)

        async def main() -> Response:
            assert self.control.handles(request)
            return await self.control.answer(request, source)

        response = asyncio.run(main())
        assert isinstance(response.body, bytes)
        kind = dict(response.headers)["content-type"]
        return (
            response.status,
            dict(response.headers),
            json.loads(response.body) if "json" in kind else response.body.decode(),
        )

    def drive(self, **command: Any) -> tuple[int, Any]:
        status, _, page = self.ask("POST", "/_skytrail/clock", command)
        return status, page


# Health


HEALTH: dict[str, tuple[dict[str, Any], int, str]] = {
    "well": ({}, 200, "running"),
    "the columns restart": ({"columns": "restarting"}, 200, "degraded"),
    "the journal fails": ({"journal": False}, 503, "failing"),
    "it stops": ({"stopping": True}, 503, "stopping"),
}


@pytest.mark.parametrize("name", HEALTH)
@pytest.mark.parametrize("path", ["/health", "/_skytrail/health"])
def test_health(name: str, path: str) -> None:
    state, status, word = HEALTH[name]
    house = House(**state)
    got, headers, page = house.ask("GET", path)
    assert (got, page["status"]) == (status, word)
    assert headers["cache-control"] == "no-store"
    assert page == {
        "status": word,
        "version": "1.2.3",
        "mode": "open",
        "services": {"cloudtrail": "running", "sts": "running"},
        "columns": house.columns,
        "journal": "ok" if house.journal else "failing",
    }


def test_health_in_the_form_that_other_emulators_tools_read() -> None:
    status, _, page = House().ask("GET", "/_localstack/health")
    assert status == 200
    assert page == {
        "services": {"cloudtrail": "running", "sts": "running"},
        "edition": "skytrail",
        "version": "1.2.3",
    }


# Which requests are the server's own


OWN = {
    ("/health", "", ""): True,
    ("/metrics", "", ""): True,
    ("/_skytrail/clock", "", ""): True,
    ("/_skytrail/anything", "", "AWS4-HMAC-SHA256 Credential=x"): True,
    ("/", "", ""): False,
    ("/health/", "", ""): False,
    ("/healthy", "", ""): False,
    ("/metrics", "", "Bearer prometheus"): True,
    # Buckets may have these names.
    ("/health", "", "AWS4-HMAC-SHA256 Credential=x"): False,
    ("/metrics", "X-Amz-Signature=abc", ""): False,
}


@pytest.mark.parametrize(("path", "query", "authorization"), OWN)
def test_which_requests_are_the_servers_own(path: str, query: str, authorization: str) -> None:
    headers = {"authorization": authorization} if authorization else {}
    assert House().control.handles(Request("GET", path, query, headers)) is OWN[path, query, authorization]


def test_unknown_paths_and_methods() -> None:
    house = House()
    assert house.ask("GET", "/_skytrail/nothing")[0] == 404
    assert house.ask("GET", "/_localstack/init")[0] == 404
    status, headers, page = house.ask("DELETE", "/_skytrail/clock")
    assert (status, headers["allow"], page) == (405, "GET, POST", {"error": "/_skytrail/clock takes GET and POST"})
    assert house.ask("HEAD", "/health")[0] == 200


# Who may drive the server


CALLERS: dict[str, tuple[str, Source, str, int]] = {
    "anyone, open": ("open", PUBLIC, "", 200),
    "the operator, open": ("open", OPERATOR, "", 200),
    "anyone, enforced": ("enforced", PUBLIC, "", 403),
    "the operator, enforced": ("enforced", OPERATOR, "", 200),
    "a page of this machine": ("open", PUBLIC, "http://localhost:3000", 200),
    "a page that the settings name": ("open", PUBLIC, "https://console.example", 200),
    "a foreign page": ("open", PUBLIC, "https://evil.example", 403),
    "a page without an origin": ("open", PUBLIC, "null", 403),
    "a foreign page with a local name": ("open", PUBLIC, "https://localhost.evil.example", 403),
    "an origin that is none": ("open", PUBLIC, "https://[", 403),
}


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("path", ["/_skytrail/reset", "/_skytrail/clock"])
def test_who_may_drive_the_server(name: str, path: str) -> None:
    mode, source, origin, expected = CALLERS[name]
    house = House({"server__mode": mode, "server__cors_origins": ("https://console.example",)})
    body = {"action": "freeze"} if path.endswith("clock") else None
    status, _, page = house.ask("POST", path, body, source, {"origin": origin} if origin else {})
    assert status == expected
    assert house.clock.frozen == (expected == 200 and path.endswith("clock"))
    assert house.resets == (expected == 200 and path.endswith("reset"))
    if expected == 200 and path.endswith("reset"):
        assert page == {"status": "reset"}
    if expected == 403:
        assert page["error"]
    # Anyone may ask what time it is.
    assert house.ask("GET", "/_skytrail/clock")[0] == 200


@pytest.mark.parametrize("mode", ["open", "enforced"])
def test_only_the_owner_acts_without_a_name(mode: str) -> None:
    async def main() -> None:
        house = House({"server__mode": mode})
        request = Request("POST", "/_skytrail/operate", "", {}, b"{}")
        assert (await house.control.answer(request, PUBLIC)).status == 403
        assert (await house.control.answer(request, OPERATOR)).status == 200

    run(main())


def test_a_name_that_leads_here_does_not_drive_the_server() -> None:
    house = House()
    assert house.ask("POST", "/_skytrail/reset", headers={"host": "evil.example:4566"})[0] == 403
    assert house.ask("POST", "/_skytrail/reset", headers={"host": "skytrail:4566"})[0] == 200
    assert house.resets == 1


def test_operators_paths_answer_with_a_stream() -> None:
    async def main() -> None:
        house = House({"server__mode": "enforced"})
        request = Request("POST", "/_skytrail/echo", "", {}, b"{}")
        response = await house.control.answer(request, OPERATOR)
        assert not isinstance(response.body, bytes)
        assert [line async for line in response.body] == [b"{}\n"]
        assert (await house.control.answer(request, PUBLIC)).status == 403

    run(main())


# The clock


def test_the_clock_is_driven() -> None:
    house = House()
    status, page = house.drive(action="freeze", time="2026-05-04T12:00:00Z")
    assert (status, page) == (
        200,
        {"time": "2026-05-04T12:00:00+00:00", "epoch": NOON, "frozen": True, "jobs": 0},
    )
    ran = []

    async def job() -> None:
        ran.append(house.clock.time() - NOON)

    house.clock.every(60, job)
    assert house.drive(action="advance", seconds=300)[1]["jobs"] == 5
    assert ran == [60, 120, 180, 240, 300]
    assert house.drive(action="set", time=NOON)[1]["epoch"] == NOON
    assert house.drive(action="set", time="2026-05-04T14:00:00+02:00")[1]["epoch"] == NOON
    assert house.drive(action="set", time="2026-05-04T12:00:00")[1]["epoch"] == NOON
    assert house.drive(action="set", time="2026-05-04")[1]["epoch"] == NOON - 43200
    assert house.drive(action="run")[1]["frozen"] is False
    assert house.drive(action="freeze")[1]["frozen"] is True
    assert house.drive(action="reset")[1]["frozen"] is False
    page = house.ask("GET", "/_skytrail/clock")[2]
    assert page["frozen"] is False
    assert abs(page["epoch"] - Clock().time()) < 60


BAD_COMMANDS: dict[str, tuple[Any, str]] = {
    "no body": (b"", "not a command"),
    "not JSON": (b"{action: freeze}", "not a command"),
    "not UTF-8": (b'{"action": "\xff"}', "not a command"),
    "not an object": ([], "Expected `object`"),
    "no action": ({}, "missing required field `action`"),
    "unknown action": ({"action": "stop"}, "Invalid enum value 'stop'"),
    "unknown member": ({"action": "run", "speed": 2}, "unknown field `speed`"),
    "set without a time": ({"action": "set"}, "needs a time"),
    "set to nonsense": ({"action": "set", "time": "noon"}, "not a time of ISO 8601: 'noon'"),
    "set to a list": ({"action": "set", "time": []}, "$.time"),
    "set to a bool": ({"action": "set", "time": True}, "$.time"),
    "set to NaN": (b'{"action": "set", "time": NaN}', "not a command"),
    "set to infinity": (b'{"action": "set", "time": 1e999}', "not a command"),
    "set before 1970": ({"action": "set", "time": -1}, "from 1970 to 9999"),
    "set too far": ({"action": "set", "time": 1e15}, "from 1970 to 9999"),
    "set with seconds": ({"action": "set", "time": 1, "seconds": 1}, "takes no seconds"),
    "advance without seconds": ({"action": "advance"}, "needs seconds"),
    "advance back": ({"action": "advance", "seconds": -1}, "not -1.0"),
    "advance for ever": ({"action": "advance", "seconds": 1e12}, "takes 0 to 31622400 seconds"),
    "advance by text": ({"action": "advance", "seconds": "10"}, "$.seconds"),
    "advance with a time": ({"action": "advance", "seconds": 1, "time": 1}, "takes no time"),
    "run with a time": ({"action": "run", "time": 1}, "takes no time"),
}


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_commands_that_the_clock_does_not_take(name: str) -> None:
    body, message = BAD_COMMANDS[name]
    house = House()
    status, _, page = house.ask("POST", "/_skytrail/clock", body)
    assert status == 400
    assert message in page["error"]
    assert not house.clock.frozen
    assert abs(house.clock.time() - Clock().time()) < 60


def test_the_clock_does_not_go_beyond_what_a_date_can_show() -> None:
    house = House()
    house.drive(action="freeze", time="9998-12-31T23:59:59Z")
    assert house.drive(action="advance", seconds=10)[0] == 400
    assert house.drive(action="advance", seconds=1)[0] == 200


def test_one_command_waits_for_the_other() -> None:
    async def main() -> None:
        house = House()
        gate = asyncio.Event()
        house.clock.freeze()
        house.clock.set(NOON)

        async def job() -> None:
            await gate.wait()

        house.clock.at(NOON + 1, job)

        def say(**command: Any) -> asyncio.Task[Response]:
            request = Request("POST", "/_skytrail/clock", "", {}, json.dumps(command).encode())
            return asyncio.create_task(house.control.answer(request, PUBLIC))

        advance, jump = say(action="advance", seconds=10), say(action="set", time=NOON - 100)
        await asyncio.sleep(0)
        gate.set()
        first, second = await advance, await jump
        assert isinstance(first.body, bytes)
        assert isinstance(second.body, bytes)
        assert json.loads(first.body)["epoch"] == NOON + 10
        assert json.loads(second.body)["epoch"] == NOON - 100

    run(main())


# Metrics


def call(operation: str, error: ServiceError | None = None, received: float = NOON) -> Call:
    model = SimpleNamespace(
        shape_for_error_code=lambda code: (
            SimpleNamespace(metadata={"error": {"httpStatusCode": 503}}) if code == "Modelled" else None
        )
    )
    route = SimpleNamespace(
        service=SimpleNamespace(name="cloudtrail", model=model), operation=SimpleNamespace(name=operation)
    )
    return cast("Call", SimpleNamespace(route=route, error=error, received=received))


def samples(house: House) -> dict[tuple[str, tuple[str, ...]], float]:
    status, _, page = house.ask("GET", "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_metrics_count_calls_and_records() -> None:
    house = House()
    metrics = house.metrics
    metrics.called(call("LookupEvents"), NOON + 0.003)
    metrics.called(call("LookupEvents", ServiceError("InvalidTimeRange")), NOON + 0.003)
    metrics.called(call("LookupEvents", ServiceError("Modelled")), NOON)
    metrics.called(call("LookupEvents", ServiceError("InternalFailure", status=500)), NOON - 5)
    metrics.recorded()
    metrics.recorded()
    metrics.lost()
    got = samples(house)
    name = "skytrail_calls_total"
    assert got[name, ("LookupEvents", "cloudtrail", "2xx")] == 1
    assert got[name, ("LookupEvents", "cloudtrail", "4xx")] == 1
    assert got[name, ("LookupEvents", "cloudtrail", "5xx")] == 2
    assert got["skytrail_call_seconds_count", ("LookupEvents", "cloudtrail")] == 4
    assert got["skytrail_call_seconds_bucket", ("0.0025", "LookupEvents", "cloudtrail")] == 2
    assert got["skytrail_call_seconds_bucket", ("0.005", "LookupEvents", "cloudtrail")] == 4
    assert got["skytrail_records_written_total", ()] == 2
    assert got["skytrail_records_lost_total", ()] == 1
    assert got["skytrail_process_resident_bytes", ("server",)] > 1 << 20


def test_metrics_have_a_bounded_number_of_series() -> None:
    house = House()
    for number in range(2000):
        house.metrics.called(call(f"Operation{number}"), NOON)
    got = samples(house)
    assert got["skytrail_calls_total", ("other", "other", "2xx")] == 1500
    assert len({labels[:2] for name, labels in got if name == "skytrail_calls_total"}) == 501


def test_metrics_read_what_they_watch() -> None:
    house = House()
    columns = SimpleNamespace(state="restarting", restarts=3, pid=os.getpid())
    house.metrics.watch_columns(columns)
    house.metrics.watch_journal(lambda: {"columns": 12, "bridge": 0})
    house.metrics.watch_connections(lambda: 7, lambda: 4096)
    got = samples(house)
    assert got["skytrail_columns_state", ("restarting",)] == 1
    assert got["skytrail_columns_restarts_total", ()] == 3
    assert got["skytrail_journal_lag_records", ("columns",)] == 12
    assert got["skytrail_journal_lag_records", ("bridge",)] == 0
    assert got["skytrail_connections", ()] == 7
    assert got["skytrail_bodies_bytes", ()] == 4096
    assert got["skytrail_process_resident_bytes", ("columns",)] > 1 << 20
    columns.pid = None
    assert ("skytrail_process_resident_bytes", ("columns",)) not in samples(house)


def test_metrics_speak_openmetrics_when_asked() -> None:
    _, headers, page = House().ask("GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert page.endswith("# EOF\n")


def test_memory_of_a_process_that_is_gone() -> None:
    assert resident_bytes(2**22 + 1) is None


# At the edge


def test_own_paths_make_no_calls() -> None:
    async def main() -> None:
        house, handler = House(), Recorder()
        async with running(handler, control=house.control) as server:
            client = await server.connect()
            health = await client.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert json.loads(health.body)["status"] == "running"
            reset = await client.ask(post(path="/_skytrail/reset"))
            assert (reset.status, house.resets) == (200, 1)
            echo = await client.ask(post(b"{}", path="/_skytrail/echo"))
            assert (echo.headers["transfer-encoding"], echo.body) == ("chunked", b"{}\n")
            assert handler.seen == []
            house.stopping = True
            server.edge.draining = True
            stopping = await client.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (stopping.status, json.loads(stopping.body)["status"]) == (503, "stopping")

    run(main())


def test_certificates_are_shown_to_whoever_asks() -> None:
    house = House({"server__mode": "enforced"}, certificates={"/SimpleNotificationService-a.pem": b"PEM"})
    assert house.ask("GET", "/SimpleNotificationService-a.pem")[0::2] == (200, "PEM")
    assert house.ask("GET", "/SimpleNotificationService-b.pem")[0] == 404
