"""`skytrail serve`: run the server until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from .. import settings as settings_module
from ..errors import StoreUnwritable
from ..settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data directory.")] = None,
    mode: Annotated[str | None, typer.Option(help="open: any credentials. enforced: real keys and policies.")] = None,
    durability: Annotated[
        str | None, typer.Option(help="fsync: answered calls survive a power cut. os: only a crash of the process.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Account of callers that name none.")] = None,
    region: Annotated[str | None, typer.Option(help="Region of callers that name none.")] = None,
    allow_remote_open: Annotated[
        bool | None, typer.Option("--allow-remote-open", metavar=" ", help="Let open mode listen beyond loopback.")
    ] = None,
    tls_certificate: Annotated[str | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="Private key, PEM.")] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE=TARGET",
            help="Let moto, aws or a URL answer a service's calls; '*' is all that is not implemented. Repeatable.",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).")] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start Skytrail."""
    settings = settings_module.load(
        file=config,
        overrides={
            "server.host": host,
            "server.port": port,
            "server.mode": mode,
            "server.account": account,
            "server.region": region,
            "server.allow_remote_open": allow_remote_open,
            "server.tls_certificate": tls_certificate,
            "server.tls_key": tls_key,
            "storage.data": str(data) if data else None,
            "storage.durability": durability,
            "upstreams.services": upstream or None,
        },
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(settings, ready_fd)


def run(settings: Settings, ready_fd: int | None = None) -> None:
    import uvloop  # noqa: PLC0415 - only the server needs it

    from ..server import Skytrail  # noqa: PLC0415 - the other commands start fast without it

    skytrail = Skytrail(settings)
    uvloop.run(skytrail.serve(lambda listening: _announce(settings, listening.url, ready_fd)))
    with contextlib.suppress(OSError):  # a terminal that is gone changes nothing
        typer.echo("Skytrail has stopped.")


def _announce(settings: Settings, url: str, ready_fd: int | None) -> None:
    server, storage = settings.server, settings.storage
    data = settings.data_directory.expanduser().absolute()
    endpoint = json.dumps({"url": url, "pid": os.getpid(), "mode": server.mode})
    try:
        (data / "endpoint.json").write_text(endpoint + "\n")
    except OSError as error:
        raise StoreUnwritable(f"cannot write to the data directory {data}: {error.strerror}") from error
    typer.echo(f"Skytrail listens on {url} ({server.mode} mode), data in {data}")
    if storage.durability == "os":
        typer.echo("Durability is 'os': a power cut may lose answered calls.")
    if ready_fd is not None:
        os.write(ready_fd, endpoint.encode() + b"\n")
        os.close(ready_fd)
