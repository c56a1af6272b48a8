"""The command line as a whole."""

from __future__ import annotations

from typer.testing import CliRunner

from skytrail import __version__
from skytrail.cli import app


def test_it_says_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"Skytrail {__version__}\n")
