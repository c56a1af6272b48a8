"""`make bench`: measure this checkout, or compare it with another revision.

python -m bench                          all suites
python -m bench calls start --runs 5     some of them
python -m bench --against REVISION       both revisions in turn, with a verdict beyond the noise
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .harness import Figure
from .suites import SUITES


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], default=list(SUITES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    parser.add_argument("--against", metavar="REVISION")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    console = Console()
    console.print(f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}")
    figures: list[Figure] = []
    if arguments.against:
        _compare(console, arguments)
        return
    for suite in arguments.suites:
        measured = SUITES[suite](arguments.runs, arguments.seconds, None)
        figures += measured
        console.print(_table(suite, measured))
    if arguments.json:
        arguments.json.write_text(
            json.dumps(
                [{"name": f.name, "unit": f.unit, "median": f.median, "runs": f.runs} for f in figures], indent=1
            )
        )


def _table(title: str, figures: list[Figure]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("figure", "median", "min", "max", "unit", "target"):
        table.add_column(column, justify="left" if column in ("figure", "unit") else "right")
    for figure in figures:
        target = "" if figure.target is None else f"{figure.target:g} {'met' if figure.met else 'MISSED'}"
        table.add_row(
            figure.name,
            f"{figure.median:.4g}",
            f"{min(figure.runs):.4g}",
            f"{max(figure.runs):.4g}",
            figure.unit,
            target,
        )
    return table


def _compare(console: Console, arguments: argparse.Namespace) -> None:
    """Both revisions in turn, A B A B, so that a drift of the machine meets both alike."""
    with tempfile.TemporaryDirectory(prefix="skytrail-bench-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), arguments.against], check=True)
        try:
            for suite in arguments.suites:
                console.print(_verdicts(suite, arguments, tree / "src"))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], check=True)


def _verdicts(suite: str, arguments: argparse.Namespace, other: Path) -> Table:
    here: dict[str, Figure] = {}
    there: dict[str, Figure] = {}
    for _ in range(arguments.runs):
        for figures, source in ((there, other), (here, Path.cwd() / "src")):
            for figure in SUITES[suite](1, arguments.seconds, source):
                figures.setdefault(figure.name, Figure(figure.name, figure.unit, figure.better)).runs += figure.runs
    table = Table(title=f"{suite}: this checkout against {arguments.against}", title_justify="left")
    for column in ("figure", arguments.against, "here", "ratio", "noise", "verdict"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, figure in here.items():
        before = there[name]
        ratio = figure.median / before.median if before.median else float("nan")
        noise = max(figure.spread, before.spread)
        gain = ratio - 1 if figure.better == "more" else 1 - ratio
        verdict = "same" if abs(gain) <= noise else "better" if gain > 0 else "WORSE"
        table.add_row(
            f"{name} ({figure.unit})",
            f"{before.median:.4g}",
            f"{figure.median:.4g}",
            f"{ratio:.3f}",
            f"±{noise:.0%}",
            verdict,
        )
    return table


if __name__ == "__main__":
    main()
