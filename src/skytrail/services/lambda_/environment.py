"""With what a function's process is started: its command, its environment, its limits."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..engines import Engines
from . import functions
from .functions import Version
from .naming import Target
from .roles import Credentials

_BOOTSTRAPS = Path(__file__).with_name("bootstraps")
_MEGABYTE = 1 << 20
#: What Node's own engine takes beside the function's objects.
_NODE_DATA = 640 * _MEGABYTE
_PATH = "/usr/local/bin:/usr/bin:/bin"
#: A server that has just begun says soon where it listens.
_ANNOUNCE_SECONDS = 10.0


class NoEntrypoint(Exception):
    """There is nothing to run; the message is AWS's."""


@dataclass(slots=True, frozen=True)
class Start:
    command: list[str]
    environment: dict[str, str]
    folder: Path
    #: Bytes of data that the process may hold, and of a file that it may write.
    memory: int
    file_size: int


async def start_of(
    engines: Engines, target: Target, version: Version, held: Credentials, code: Path, scratch: Path, api: str
) -> Start:
    settings = engines.settings.functions
    command = _command(engines, version, code)
    places = {"{code}": str(code), "{tmp}": str(scratch), "{memory}": str(version.memory)}
    sandbox = [_filled(word, places) for word in shlex.split(settings.sandbox)]
    own = functions.open_environment(engines.sealer, target, version)
    environment = await _environment(engines, target, version, held, code, scratch)
    memory = version.memory * _MEGABYTE
    if version.runtime.startswith("nodejs"):
        memory += _NODE_DATA
    return Start(
        [*sandbox, *command],
        {**_usual(code, scratch), **own, **environment, "AWS_LAMBDA_RUNTIME_API": api},
        code,
        memory,
        version.storage * _MEGABYTE,
    )


def _filled(word: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        word = word.replace(name, place)
    return word


def _command(engines: Engines, version: Version, code: Path) -> list[str]:
    settings = engines.settings.functions
    if version.runtime.startswith("python"):
        return [settings.python or sys.executable, "-u", str(_BOOTSTRAPS / "python_runtime.py")]
    if version.runtime.startswith("nodejs"):
        node = settings.node or _node()
        # The engine collects in time what would not fit.
        return [node, f"--max-old-space-size={version.memory}", str(_BOOTSTRAPS / "node_runtime.mjs")]
    bootstrap = code / "bootstrap"
    if not bootstrap.is_file():
        raise NoEntrypoint("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
    if not bootstrap.stat().st_mode & 0o111:
        raise NoEntrypoint("fork/exec /var/task/bootstrap: permission denied")
    return [str(bootstrap)]


def _node() -> str:
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.is_file() else shutil.which("node")
    if found is None:
        raise NoEntrypoint("node is not installed on this machine: set functions.node to where it is")
    return found


def _usual(code: Path, scratch: Path) -> dict[str, str]:
    """What a function's own variables may replace."""
    return {
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": f"{code}:{code}/lib",
        "NODE_PATH": f"{code}/node_modules",
        "PATH": os.environ.get("PATH", _PATH),
        "TMPDIR": str(scratch),
        "TZ": ":UTC",
    }


async def _environment(
    engines: Engines, target: Target, version: Version, held: Credentials, code: Path, scratch: Path
) -> dict[str, str]:
    day = datetime.fromtimestamp(engines.clock.time(), UTC).strftime("%Y/%m/%d")
    given = {
        "AWS_ACCESS_KEY_ID": held.access_key,
        "AWS_SECRET_ACCESS_KEY": held.secret_key,
        "AWS_DEFAULT_REGION": target.region,
        "AWS_REGION": target.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{version.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory),
        "AWS_LAMBDA_FUNCTION_NAME": target.name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.label,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": functions.log_group(target.name, version),
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{day}/[{version.label}]{engines.ids.hex(32)}",
        "LAMBDA_RUNTIME_DIR": str(_BOOTSTRAPS),
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": version.handler,
    }
    if held.token:
        given["AWS_SESSION_TOKEN"] = held.token
    given["AWS_ENDPOINT_URL"] = await _endpoint(engines)
    if engines.settings.server.tls_certificate:
        certificate = _absolute(engines.settings.server.tls_certificate)
        given |= {"AWS_CA_BUNDLE": certificate, "NODE_EXTRA_CA_CERTS": certificate}
    return given


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


async def _endpoint(engines: Engines) -> str:
    """Where this server listens. It writes that down when it does; what an earlier one wrote does not count."""
    file = engines.settings.data_directory.expanduser() / "endpoint.json"
    loop = asyncio.get_running_loop()
    end = loop.time() + _ANNOUNCE_SECONDS
    while loop.time() < end:
        try:
            told = json.loads(file.read_text())
        except FileNotFoundError:
            break
        except (OSError, ValueError):
            told = {}
        if told.get("pid") == os.getpid():
            return _local(str(told["url"]))
        await asyncio.sleep(0.05)
    server = engines.settings.server
    scheme = "https" if server.tls_certificate else "http"
    return _local(f"{scheme}://{server.host}:{server.port}")


def _local(url: str) -> str:
    """An address that means all of this machine's is none that can be called."""
    return url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
