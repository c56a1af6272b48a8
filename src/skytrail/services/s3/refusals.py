"""Errors that several of S3's operations answer."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ServiceError
from ...wire.routing import Route
from ...wire.validation import Violation


def malformed(why: str = "") -> ServiceError:
    return ServiceError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema"
        + (why and f": {why}"),
        status=400,
    )


def malformed_acl() -> ServiceError:
    return ServiceError(
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
        status=400,
    )


def invalid_argument(message: str, name: str = "", value: str = "") -> ServiceError:
    members = {"ArgumentName": name} | ({"ArgumentValue": value} if value else {}) if name else {}
    return ServiceError("InvalidArgument", message, status=400, members=members)


def invalid_request(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message, status=400)


def unsupported(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"{what} is not supported.", status=501)


def of_violations(route: Route, violations: Sequence[Violation]) -> ServiceError | None:
    """What S3 answers to input that fails its model: it depends on where the input was."""
    if not violations or route.operation.input_shape is None:
        return None
    first = violations[0]
    member = route.operation.input_shape.members[first.member]
    name = member.serialization.get("name", first.member)
    place = member.serialization.get("location")
    if place is None:
        if first.shown == "null" and "." not in first.path:
            return ServiceError("MissingRequestBodyError", "Request Body is empty", status=400)
        return _in_document(first)
    if first.shown == "null":
        return invalid_argument(f"The request must contain the parameter {name}", name)
    value = (first.shown or "").strip("'")[:256]
    if first.member == "StorageClass":
        return ServiceError(
            "InvalidStorageClass",
            "The storage class you specified is not valid",
            status=400,
            members={"StorageClassRequested": value},
        )
    return invalid_argument(f"Invalid value for {name}", name, value)


def _in_document(violation: Violation) -> ServiceError:
    if violation.path == "createBucketConfiguration.locationConstraint":
        return ServiceError("InvalidLocationConstraint", "The specified location-constraint is not valid", status=400)
    if violation.member == "AccessControlPolicy":
        return malformed_acl()
    return malformed()
