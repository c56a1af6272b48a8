"""The command line as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from skytrail import __version__
from skytrail.cli import app


def test_it_says_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"Skytrail {__version__}\n")


def _commands(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, *names, name)


@pytest.mark.parametrize("names", list(_commands(get_command(app))), ids=" ".join)
def test_each_command_explains_itself(names: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*names, "--help"])
    assert (result.exit_code, result.exception) == (0, None)
    assert "Usage: skytrail" in result.stdout


def test_help_shows_brackets_as_they_are_typed() -> None:
    assert "s3://BUCKET[/PREFIX]; or a directory" in " ".join(CliRunner().invoke(app, ["verify", "-h"]).stdout.split())
