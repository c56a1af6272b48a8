"""A worker: a process of a function and its Runtime API. It works on one event at a time, and is kept warm between."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..engines import Engines
from . import codes, environment, roles
from .environment import NoEntrypoint
from .functions import Version
from .invocations import Invocation, Log, Report, Result, exited, failure, timeout_message
from .naming import Target
from .process import Process
from .runtime_api import RuntimeApi

#: A process may take so long until it asks for its first event, or its time-out, where that is longer.
INIT_SECONDS = 10.0
#: No process is older than its credentials; they are renewed so long before.
_MARGIN_SECONDS = 300.0

_log = logging.getLogger(__name__)


class Worker:
    def __init__(self, engines: Engines, target: Target, version: Version) -> None:
        self._engines = engines
        #: The function itself; an alias is a matter of each event.
        self.target = target.at(None)
        self.version = version
        self._api: RuntimeApi | None = None
        self._process: Process | None = None
        self._scratch: Path | None = None
        self._ended = asyncio.Event()
        self._expires = 0.0
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return (
            self._process is not None
            and self._process.alive
            and 0 < self._expires - self._engines.clock.time() - _MARGIN_SECONDS < 86_400
        )

    async def invoke(self, invocation: Invocation) -> Result:
        """Never raises for what the function does; a ServiceError where Lambda itself cannot run it."""
        report, log = Report(), Log()
        if self._process is None:
            begun = time.monotonic()
            try:
                await self._start(log)
            except NoEntrypoint as error:
                log.start(invocation)
                message = f"RequestId: {invocation.id} Error: {error}"
                return self._finished(
                    invocation, Result(failure("Runtime.InvalidEntrypoint", message), "Unhandled"), log, report
                )
            unable = await self._initialize(invocation)
            report.started_in = (time.monotonic() - begun) * 1000
            if unable is not None:
                log.start(invocation)
                return self._finished(invocation, unable, log, report)
        assert self._process is not None
        assert self._api is not None
        log.start(invocation)
        if self._process.log is not log:
            log.write(bytes(self._process.log.kept))
            self._process.log = log
        begun = time.monotonic()
        result = await self._run(invocation, report)
        report.duration = (time.monotonic() - begun) * 1000
        return self._finished(invocation, result, log, report)

    def _finished(self, invocation: Invocation, result: Result, log: Log, report: Report) -> Result:
        if self._process is not None:
            self._process.read()
            self._process.log = Log()
            report.memory_used = self._process.memory_used() or report.memory_used
        if result.error and not report.status and b"Runtime." in result.payload:
            report.status = "error"
        log.end(invocation, report)
        return replace(result, log=log.tail())

    async def _run(self, invocation: Invocation, report: Report) -> Result:
        assert self._process is not None
        assert self._api is not None
        answer = self._api.give(invocation)
        ended = asyncio.ensure_future(self._ended.wait())
        waited: list[asyncio.Future[Any]] = [answer, ended]
        try:
            await asyncio.wait(waited, timeout=invocation.version.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if answer.done():
            return answer.result()
        now = self._engines.clock.time()
        if self._ended.is_set():
            report.status = "error"
            return Result(exited(invocation, self._process.status), "Unhandled")
        report.status, report.memory_used = "timeout", self._process.memory_used()
        await self._process.kill()
        message = timeout_message(invocation, now)
        self._process.log.line(message)
        return Result(failure("", message), "Unhandled")

    # Its start

    async def _start(self, log: Log) -> None:
        engines, target, version = self._engines, self.target, self.version
        if not version.code.id:  # it was an HTTP address when it was made
            raise NoEntrypoint("The function has no code")
        code = await codes.unpacked(engines, version.code)
        held = await roles.credentials(engines, target, version.role)
        self._expires = held.expires
        self._api = RuntimeApi()
        await self._api.open()
        self._scratch = codes.scratch_of(engines) / engines.ids.hex(16)
        await asyncio.to_thread(self._scratch.mkdir, mode=0o700, parents=True)
        start = await environment.start_of(engines, target, version, held, code, self._scratch, self._api.address)
        self._process = await Process.start(
            start.command, start.environment, start.folder, start.memory, start.file_size
        )
        self._process.log = log
        self._process.when_ended(self._ended.set)

    async def _initialize(self, invocation: Invocation) -> Result | None:
        """Wait until the process is ready; what came of the invocation where it never will be."""
        assert self._process is not None
        assert self._api is not None
        ready = asyncio.ensure_future(self._api.ready.wait())
        ended = asyncio.ensure_future(self._ended.wait())
        waited: list[asyncio.Future[Any]] = [ready, ended, self._api.unable]
        try:
            limit = max(INIT_SECONDS, invocation.version.timeout)
            await asyncio.wait(waited, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            ended.cancel()
        if self._api.ready.is_set():
            return None
        if self._api.unable.done():
            await self._process.kill()
            return Result(self._api.unable.result(), "Unhandled")
        if self._ended.is_set():
            return Result(exited(invocation, self._process.status), "Unhandled")
        await self._process.kill()
        message = timeout_message(invocation, self._engines.clock.time())
        self._process.log.line(message)
        return Result(failure("", message), "Unhandled")

    async def close(self) -> None:
        """Nothing of it is left afterwards."""
        if self._process is not None:
            await self._process.kill()
        if self._api is not None:
            await self._api.close()
        if self._scratch is not None:
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
