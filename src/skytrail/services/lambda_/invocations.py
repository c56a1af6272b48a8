"""An invocation of a function, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from .common import iso
from .functions import Version
from .naming import Target

#: What a caller waits for, and what a caller does not wait for, may bring so much.
LARGEST_PAYLOAD, LARGEST_EVENT = 6 << 20, 1 << 20
#: A function may answer so much.
LARGEST_RESPONSE = LARGEST_PAYLOAD + 100


@dataclass(slots=True, frozen=True)
class Invocation:
    id: str
    #: As it was named: with the alias, where there is one.
    target: Target
    version: Version
    payload: bytes
    client_context: str = ""
    trace: str = ""

    @property
    def arn(self) -> str:
        return self.target.qualified


@dataclass(slots=True, frozen=True)
class Result:
    payload: bytes
    #: "Unhandled", where the function failed.
    error: str = ""
    #: The last lines of the log.
    log: bytes = b""


@dataclass(slots=True)
class Report:
    """The numbers of the line that ends a log. Milliseconds, megabytes."""

    duration: float = 0.0
    memory_used: int = 0
    started_in: float | None = None
    status: str = ""


@dataclass(slots=True)
class Log:
    """The log of one invocation: its end is kept, the rest has nowhere to go until there is a service of logs."""

    kept: bytearray = field(default_factory=bytearray)

    TAIL = 4096

    def write(self, data: bytes) -> None:
        self.kept += data
        if len(self.kept) > 16 * self.TAIL:
            del self.kept[: -self.TAIL]

    def line(self, text: str) -> None:
        if self.kept and not self.kept.endswith(b"\n"):
            self.kept += b"\n"
        self.write(text.encode("utf-8", "replace") + b"\n")

    def start(self, invocation: Invocation) -> None:
        self.line(f"START RequestId: {invocation.id} Version: {invocation.version.label}")

    def end(self, invocation: Invocation, report: Report) -> None:
        billed = -(-int(report.duration * 1000) // 1000)
        parts = [
            f"REPORT RequestId: {invocation.id}",
            f"Duration: {report.duration:.2f} ms",
            f"Billed Duration: {max(billed, 1)} ms",
            f"Memory Size: {invocation.version.memory} MB",
            f"Max Memory Used: {report.memory_used} MB",
        ]
        if report.started_in is not None:
            parts.append(f"Init Duration: {report.started_in:.2f} ms")
        if report.status:
            parts.append(f"Status: {report.status}")
        self.line(f"END RequestId: {invocation.id}")
        self.line("\t".join(parts) + "\t")

    def tail(self) -> bytes:
        return bytes(self.kept[-self.TAIL :])


def failure(kind: str, message: str) -> bytes:
    return orjson.dumps({"errorType": kind, "errorMessage": message} if kind else {"errorMessage": message})


def exited(invocation: Invocation, status: str) -> bytes:
    """The process ended before it answered. `status` is such as "exit status 1"; empty where there is no reason."""
    why = f"Runtime exited with error: {status}" if status else "Runtime exited without providing a reason"
    return failure("Runtime.ExitError", f"RequestId: {invocation.id} Error: {why}")


def timeout_message(invocation: Invocation, now: float) -> str:
    return f"{iso(now)} {invocation.id} Task timed out after {invocation.version.timeout:.2f} seconds"


def too_large(size: int) -> bytes:
    return failure(
        "Function.ResponseSizeTooLarge",
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes).",
    )
