"""Write, or check, the coverage tables in docs/services: every operation of the model, and whether it is there.

python scripts/coverage.py            check; exit 1 when a table has drifted
python scripts/coverage.py --write    write
"""

from __future__ import annotations

import sys
from pathlib import Path

from skytrail.services import ROOMS
from skytrail.wire import models

PAGES = Path(__file__).parent.parent / "docs" / "services"
BEGIN, END = "<!-- coverage:begin -->", "<!-- coverage:end -->"


def table(service: str) -> str:
    model = models.service(service)
    there = ROOMS.get(service, {})
    rows = [f"{len(there)} of {len(model.operation_names)} operations.", "", "| Operation | |", "| --- | --- |"]
    rows += [f"| {name} | {'yes' if name in there else 'not yet'} |" for name in sorted(model.operation_names)]
    return "\n".join(rows)


def drifted(write: bool) -> list[str]:
    """Pages whose table is not what the code and the models say."""
    pages = []
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        right = f"{before}{BEGIN}\n{table(page.stem)}\n{END}{after}"
        if text != right:
            pages.append(page.name)
            if write:
                page.write_text(right, "utf-8")
    missing = [f"{service}.md" for service in ROOMS if not (PAGES / f"{service}.md").exists()]
    return pages if write and not missing else pages + missing


if __name__ == "__main__":
    writing = "--write" in sys.argv[1:]
    names = drifted(writing)
    if names and not writing:
        sys.exit(f"coverage tables have drifted: {', '.join(names)}: run `make docs`")
