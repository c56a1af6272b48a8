from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from scripts.coverage import drifted

from skytrail.settings import Settings

ROOT = Path(__file__).parent.parent


def test_coverage_tables_say_what_the_code_does() -> None:
    assert drifted(write=False) == []


@pytest.mark.parametrize("section", [field.name for field in msgspec.structs.fields(Settings)])
def test_every_setting_is_documented(section: str) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (type_,) = [field.type for field in msgspec.structs.fields(Settings) if field.name == section]
    missing = [
        f"{section}.{field.name}"
        for field in msgspec.structs.fields(type_)
        if f"`{section}.{field.name}`" not in operations
    ]
    assert missing == []


def test_every_dependency_is_named_with_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = (ROOT / "docs" / "dependencies.md").read_text("utf-8").lower()
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[\[<>=~ ]", line)[0].lower() for line in wanted}
    assert {name for name in names if f"| {name} |" not in named} == set()


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
