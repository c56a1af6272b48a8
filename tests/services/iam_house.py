"""IAM's operations in a house: refused calls, pages, documents, callers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.identity import accounts
from skytrail.identity.principals import Identity

from ..identity.house import ACCOUNT, NOW, House

MOMENT = datetime.fromtimestamp(NOW.timestamp(), NOW.tzinfo)
AWS = "arn:aws:iam::aws:policy"


def document(action: str = "*", *, effect: str = "Allow", resource: str = "*", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


POLICY = document()
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def refused(house: House, operation: str, identity: Identity | None = None, /, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        house.iam(operation, identity, **parameters)
    return caught.value.code.removesuffix("Exception"), caught.value.message or ""


def caller(house: House, name: str) -> Identity:
    user = accounts.user(house.store.read, ACCOUNT, name)
    assert user is not None
    return accounts.user_identity(ACCOUNT, user)


def pages(house: House, operation: str, member: str, **parameters: Any) -> list[list[Any]]:
    """What each page holds, two items a page unless told otherwise."""
    found = []
    marker: dict[str, str] = {}
    while True:
        output = house.iam(operation, **{"MaxItems": 2, **parameters, **marker})
        found.append(output[member])
        assert output["IsTruncated"] is ("Marker" in output)
        if "Marker" not in output:
            return found
        marker = {"Marker": output["Marker"]}


def local(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:policy/{name}"
