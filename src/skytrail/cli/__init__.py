"""The command line: one typer application, a module for each command."""

from __future__ import annotations

import sys

import typer

from ..errors import SkytrailError
from . import keys, lookup, serve

app = typer.Typer(
    name="skytrail",
    help="CloudTrail and CloudWatch, self-hosted and wire-compatible.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("lookup")(lookup.lookup)
app.add_typer(keys.app, name="keys")


def main() -> None:
    try:
        app()
    except SkytrailError as error:
        print(f"skytrail: {error}", file=sys.stderr)
        sys.exit(1)
