"""A sample of `make torture`."""

from __future__ import annotations

from .columns import column_rounds
from .crash import crash_rounds
from .deliveries import delivery_rounds
from .trails import trail_rounds


def test_what_was_acknowledged_survives_the_server() -> None:
    assert crash_rounds(20, seed=20) > 200


def test_what_was_acknowledged_survives_the_columns() -> None:
    assert column_rounds(5, seed=5) > 200


def test_what_was_accepted_arrives() -> None:
    assert delivery_rounds(4, seed=7) > 100


def test_what_a_trail_selects_is_in_its_bucket_once() -> None:
    assert trail_rounds(4, seed=3) > 20
