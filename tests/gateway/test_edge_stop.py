"""The edge stops: calls under way finish, new ones are refused."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from skytrail.call import Source
from skytrail.errors import SettingsError
from skytrail.wire.http import Request, Response

from .raw import post, run, running, settings_of, until

JSON = "Content-Type: application/x-amz-json-1.1"


# Stopping


def test_a_stop_lets_calls_finish_and_refuses_new_ones() -> None:
    async def main() -> None:
        gate, stopped = asyncio.Event(), asyncio.Event()
        calls = 0

        async def handler(request: Request, _: Source) -> Response:
            nonlocal calls
            calls += 1
            if request.body:
                await gate.wait()
            return Response(200, [], b"done")

        async def on_stop() -> None:
            stopped.set()

        async with running(handler, on_stop=on_stop) as server:
            busy, idle = await server.connect(), await server.connect()
            await idle.ask(post())
            await busy.say(post(b"work"))
            await until(lambda: calls == 2)
            server.stop()
            await until(lambda: server.edge.draining)
            refused = await idle.ask(post(b"", JSON))
            assert (refused.status, refused.code) == (503, "ServiceUnavailable")
            assert refused.headers["connection"] == "close"
            assert await idle.ended()
            with pytest.raises(ConnectionError):
                await server.connect()
            assert not stopped.is_set()
            gate.set()
            answer = await busy.answer()
            assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"done", "close")
            async with asyncio.timeout(5):
                await server.task
            assert stopped.is_set()
            assert calls == 2

    run(main())


@pytest.mark.parametrize("forced", [True, False])
def test_a_stop_does_not_wait_for_ever(forced: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        stopped = asyncio.Event()

        async def handler(_: Request, __: Source) -> Response:
            await asyncio.Event().wait()
            raise AssertionError

        async def on_stop() -> None:
            stopped.set()

        seconds = 60.0 if forced else 0.05
        async with running(handler, on_stop=on_stop, server__drain_seconds=seconds) as server:
            client = await server.connect()
            await client.say(post(b"work"))
            await until(lambda: server.edge.bodies_bytes > 0)
            server.stop()
            if forced:
                server.stop()
            async with asyncio.timeout(5):
                await server.task
            assert stopped.is_set()
            assert await client.ended()
            assert server.edge.bodies_bytes == 0
        assert "1 calls did not finish" in caplog.text

    run(main())


def test_settings_refuse_an_open_mode_for_all() -> None:
    with pytest.raises(SettingsError, match="open mode"):
        settings_of(server__host="0.0.0.0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_server_and_a_second_one_forces_it(number: signal.Signals) -> None:
    async def main() -> None:
        async def handler(_: Request, __: Source) -> Response:
            await asyncio.Event().wait()
            raise AssertionError

        async with running(handler, server__drain_seconds=60.0) as server:
            client = await server.connect()
            await client.say(post(b"work"))
            await until(lambda: server.edge.bodies_bytes > 0)
            os.kill(os.getpid(), number)
            await until(lambda: server.edge.draining)
            assert not server.stop.forced.is_set()
            os.kill(os.getpid(), number)
            async with asyncio.timeout(5):
                await server.task
            assert server.stop.forced.is_set()

    before = signal.getsignal(number)
    run(main())
    assert signal.getsignal(number) == before
