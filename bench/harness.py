"""Runs, figures and their spread. A figure is a list of runs; its median is quoted, its range is the noise."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skytrail.testing import Server
from skytrail.testing.server import descendants


@dataclass
class Figure:
    name: str
    unit: str
    better: str  # "more" or "less"
    target: float | None = None
    runs: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def spread(self) -> float:
        """Half of the range, as a share of the median: a difference below it is noise."""
        return (max(self.runs) - min(self.runs)) / 2 / self.median if self.median else 0.0

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.median >= self.target if self.better == "more" else self.median <= self.target


def load(port: int, *arguments: str, source: Path | None = None) -> dict[str, float]:
    """Drive the server from a process of its own."""
    result = _generate("bench.load", port, arguments, source)
    if result["failed"]:
        raise RuntimeError(f"{result['failed']:.0f} of {result['calls']:.0f} calls failed")
    return result


def flow(port: int, name: str, *arguments: str, source: Path | None = None) -> float:
    """The rate of one of `bench.flows`."""
    return _generate("bench.flows", port, ("--flow", name, *arguments), source)["rate"]


def _generate(module: str, port: int, arguments: tuple[str, ...], source: Path | None) -> dict[str, float]:
    environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    done = subprocess.run(
        [sys.executable, "-m", module, "--port", str(port), *arguments],
        stdout=subprocess.PIPE,
        env=environment,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def resident_megabytes(pid: int) -> float:
    """Memory of a process and all its children."""
    return sum(
        int(line.split()[1]) / 1024
        for process in (pid, *descendants(pid))
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


@contextmanager
def server(*, data: Path | None = None, source: Path | None = None, program: str = "") -> Iterator[Server]:
    """A durable server; `source` runs another revision's code, `program` another module than the command line's."""
    environment = {"PYTHONPATH": str(source)} if source else {}
    with Server(data=data, durability="fsync", environment=environment, module=program or "skytrail") as running:
        yield running
