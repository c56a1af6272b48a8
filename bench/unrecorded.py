"""The server with the record step left out: what a call costs without its record. For the benchmark alone."""

from __future__ import annotations

from skytrail import app, services
from skytrail.call import Call
from skytrail.cli import main


async def _answer_only(_: app.Pipeline, call: Call, outcome: services.Outcome | None) -> None:
    assert isinstance(outcome, dict)
    app.respond(call, outcome)


if __name__ == "__main__":
    app.Pipeline.record = _answer_only  # type: ignore[method-assign,assignment]
    main()
