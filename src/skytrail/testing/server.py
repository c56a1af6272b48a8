"""A server process of a test suite's own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

#: Seconds that a server's own processes have to follow it.
_LAST_BREATH = 30.0


class Server:
    """`skytrail serve` on a free port, with a data directory of its own unless one is given.

    The default durability is "os": the process may crash and lose nothing, a power cut may cost the last calls.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        durability: str = "os",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        module: str = "skytrail",
    ) -> None:
        self._own = data is None
        self.data = data if data is not None else Path(tempfile.mkdtemp(prefix="skytrail-"))
        self._arguments = ["--port", "0", "--data", str(self.data), "--durability", durability, *arguments]
        self._module = module
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = ""

    def start(self, *, within: float = 60.0) -> Server:
        """Start, and return when the server answers; its log goes to `log` in the data directory."""
        reading, writing = os.pipe()
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, "serve", *self._arguments, "--ready-fd", str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                env=self._environment,
            )
        os.close(writing)
        with os.fdopen(reading, "rb") as ready, selectors.DefaultSelector() as selector:
            selector.register(ready, selectors.EVENT_READ)
            line = ready.readline() if selector.select(within) else b""
        if not line:
            self.kill()
            raise RuntimeError(f"the server did not start:\n{self.log()}")
        self.endpoint = json.loads(line)["url"]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.endpoint.rsplit(":", 1)[1])

    def log(self) -> str:
        return (self.data / "log").read_text(errors="replace")

    def kill(self) -> None:
        """kill -9, as a crash would; returns when what it had started is gone too, and nobody writes in its data."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.ExitStack() as open_files:
            ends = [end for pid in descendants(self.pid) if (end := _end_of(pid, open_files)) is not None]
            self._process.kill()
            self._process.wait()
            for end in ends:
                select.select([end], [], [], _LAST_BREATH)

    def stop(self) -> int:
        """Ask it to stop, wait until it has; returns the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> Server:
        try:
            return self.start()
        except BaseException:
            self._tidy()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self.stop()
        finally:
            self._tidy()

    def _tidy(self) -> None:
        self.kill()
        if self._own:
            shutil.rmtree(self.data, ignore_errors=True)


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have; none where the system does not tell."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from descendants(child)


def _end_of(pid: int, open_files: contextlib.ExitStack) -> int | None:
    """A descriptor that is readable when the process has ended; None where there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
    open_files.callback(os.close, descriptor)
    return descriptor
