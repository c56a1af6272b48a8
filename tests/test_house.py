"""The house keeps its shape: who imports whom is held by import-linter; these hold what it cannot see."""

from __future__ import annotations

import tomllib
from pathlib import Path

from skytrail.services import ROOMS

ROOT = Path(__file__).parent.parent


def test_every_room_is_held_apart_from_the_others() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (independent,) = [contract for contract in contracts if contract["type"] == "independence"]
    rooms = {path.parent.name for path in (ROOT / "src/skytrail/services").glob("*/__init__.py")}
    assert {f"skytrail.services.{room}" for room in rooms} == set(independent["modules"])
    assert len(rooms) == len(ROOMS)


def test_no_module_outgrows_its_reader() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 500} == {}
