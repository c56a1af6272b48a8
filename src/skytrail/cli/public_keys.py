"""The public keys of trails' digests, as ListPublicKeys of each Region gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..verify.keys import Keys, Listed, collect
from .aws import CallFailed, told

if TYPE_CHECKING:
    from ..verify.spans import Span
    from .aws import Aws

#: A digest is signed at its end, with a key that was made before.
_MARGIN = timedelta(days=1)
_MOST_PAGES = 1000


def fetch(aws: Aws, regions: Mapping[str, Span]) -> Keys:
    """Each Region has keys of its own: those that were valid in the time of its digests."""
    try:
        return collect(listed for region in sorted(regions) for listed in _listed(aws, region, regions[region]))
    except SettingsError as error:
        raise CallFailed(str(error)) from error


def _listed(aws: Aws, region: str, span: Span) -> Iterator[Listed]:
    what = f"the public keys of {region} (ListPublicKeys)"
    asked = {
        "StartTime": datetime.fromtimestamp(span.start, UTC) - _MARGIN,
        "EndTime": datetime.fromtimestamp(span.end, UTC),
    }
    with aws.client("cloudtrail", region) as client:
        for _ in range(_MOST_PAGES):
            with told(what):
                answer = client.list_public_keys(**asked)
            for key in answer.get("PublicKeyList", ()):
                if "Value" in key and "Fingerprint" in key:
                    yield Listed(what, key["Fingerprint"], key["Value"])
            if not answer.get("NextToken"):
                return
            asked["NextToken"] = answer["NextToken"]
    raise CallFailed(f"{what}: there are more than {_MOST_PAGES} pages of them")
