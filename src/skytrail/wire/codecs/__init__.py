"""AWS's protocols, from the server's side: requests to the model's values, values to responses.

    faults, moments, texts     what cannot be read; points in time; scalars as text
    values, cbor               documents of JSON and CBOR; CBOR itself
    xml_tree, xml_values       XML text; the model's values in it
    forms                      Query's parameters
    http_values, documents     what REST has outside the body; and its bodies
    rpc, query, rest           the protocols, made of these
    errors                     errors in all of them

Everything is compiled when an operation is first called in a protocol, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.model import OperationModel

from skytrail.wire.http import Request, Response
from skytrail.wire.models import Service

from . import query, rest, rpc
from .codec import Codec
from .errors import serialize_error

if TYPE_CHECKING:
    from skytrail.wire.routing import Route

__all__ = ["parse", "serialize", "serialize_error"]

_COMPILERS: Mapping[str, Callable[[Service, OperationModel], Codec]] = {
    "json": rpc.json_codec,
    "smithy-rpc-v2-cbor": rpc.cbor_codec,
    "query": partial(query.codec, ec2=False),
    "ec2": partial(query.codec, ec2=True),
    "rest-json": rest.json_codec,
    "rest-xml": rest.xml_codec,
}
_codecs: dict[tuple[OperationModel, str], Codec] = {}


def parse(route: Route, request: Request) -> dict[str, Any]:
    """The input's members, typed as botocore's parsers type them: aware datetimes, blobs as bytes.

    A body that streams in is what the request holds; its transfer and content encodings were undone before.
    """
    return _codec(route).parse(request, route.path or request.path)


def serialize(route: Route, output: Mapping[str, Any], request_id: str) -> Response:
    """A successful response. Times may be datetimes or seconds since 1970; members that are None are left out.

    A member that the model does not have is a ValueError: it is a handler's mistake, and never dropped silently.
    """
    return _codec(route).serialize(output, request_id)


def _codec(route: Route) -> Codec:
    key = (route.operation, route.protocol)
    found = _codecs.get(key)
    if found is None:
        found = _codecs[key] = _COMPILERS[route.protocol](route.service, route.operation)
    return found
