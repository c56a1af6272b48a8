"""The command line: one typer application, a module for each command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from .. import __version__
from ..errors import SkytrailError
from . import keys, lookup, prove, serve, trail, verify

app = typer.Typer(
    name="skytrail",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"Skytrail {__version__}")
        raise typer.Exit


@app.callback()
def _skytrail(
    version: Annotated[
        bool,
        typer.Option("--version", metavar=" ", help="Say which version this is.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """CloudTrail and CloudWatch, self-hosted and wire-compatible."""


app.command("serve")(serve.serve)
app.command("lookup")(lookup.lookup)
app.command("prove")(prove.prove)
app.command("verify")(verify.verify)
app.add_typer(keys.app, name="keys")
app.add_typer(trail.app, name="trail")


def main() -> None:
    os.umask(0o077)  # what is kept is its owner's alone, also in a directory that others may read
    try:
        app()
    except SkytrailError as error:
        print(f"skytrail: {error}", file=sys.stderr)
        sys.exit(1)
