"""The process of a function, from the server's side: started, listened to, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .invocations import Log

_LAUNCHER = Path(__file__).with_name("launcher.py")
_PIECE = 64 * 1024
#: A pipe holds less: so what was written before an answer is read before the answer is given on.
_PIPE_BYTES = 1 << 20
#: A launcher that does not end by itself is killed; what it started dies with it.
_KILL_SECONDS = 2.0


#: Processes of one function that are asked how much memory they have had.
_LOOKED_AT = 64


class Process:
    def __init__(self, process: asyncio.subprocess.Process, output: int) -> None:
        self._process = process
        self._output = output
        #: Where lines go at present; what is written between invocations belongs to the next one.
        self.log = Log()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(output, self._readable)
        self._reading = True
        self._ended = self._loop.create_task(process.wait())
        self._killing: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], folder: Path, memory: int, file_size: int
    ) -> Process:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_LAUNCHER), str(memory), str(file_size), *command,
                stdin=asyncio.subprocess.PIPE, stdout=writing, stderr=writing,
                env={}, cwd=folder, start_new_session=True,
            )  # fmt: skip
            assert process.stdin is not None
            listed = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items())
            process.stdin.write(len(listed).to_bytes(4, "big") + listed)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return cls(process, reading)

    @property
    def alive(self) -> bool:
        return not self._ended.done() and self._killing is None

    def when_ended(self, then: Callable[[], None]) -> None:
        self._ended.add_done_callback(lambda _: then())

    @property
    def status(self) -> str:
        """How it ended, in AWS's words; empty where it just left."""
        code = self._process.returncode
        if not code:
            return ""
        if code > 0:
            return f"exit status {code}"
        try:
            number = signal.Signals(-code)
        except ValueError:
            return f"signal: {-code}"
        return f"signal: {_SIGNALS.get(number) or signal.strsignal(number)}".lower()

    def memory_used(self) -> int:
        """The most megabytes that a process of the function has held so far; 0 where the system does not tell."""
        peak = 0
        found = _children(self._process.pid)
        for pid in found:
            if len(found) < _LOOKED_AT:
                found += _children(pid)
            peak = max(peak, _peak(pid))
        return -(-peak // 1024)

    # What it writes

    def read(self) -> None:
        """Take in what has been written up to now."""
        left = _PIPE_BYTES
        while self._reading and left > 0:
            try:
                data = os.read(self._output, _PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._stop_reading()
                return
            left -= len(data)
            self.log.write(data)

    def _readable(self) -> None:
        try:
            data = os.read(self._output, _PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.log.write(data)
        else:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._output)
            os.close(self._output)

    # Its end

    async def kill(self) -> None:
        """Returns when nothing of it is left."""
        if self._killing is None:
            self._killing = self._loop.create_task(self._kill())
        await asyncio.shield(self._killing)

    async def _kill(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._ended), _KILL_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._ended
        self.read()
        self._stop_reading()


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except (OSError, ValueError):
        return []


def _peak(pid: int) -> int:
    """Kilobytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    except (OSError, ValueError):
        return 0


_SIGNALS = {signal.SIGKILL: "killed", signal.SIGABRT: "aborted", signal.SIGSEGV: "segmentation fault"}
