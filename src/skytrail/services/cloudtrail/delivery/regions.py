"""In which Region's files a record goes.

Anyone may sign for a Region that does not exist, and each Region of a trail costs a key pair, files, and digests for as
long as the trail is there. So a trail has files for all Regions that AWS has, and for a number of others; the records
of any further one go with those of its home Region.
"""

from __future__ import annotations

from ....storage.state import Reader
from ....wire import arns
from ..trails.model import Trail
from . import spool

#: Regions that AWS does not have, of a trail.
MOST_INVENTED = 32


class Regions:
    """For one batch of records: Regions that are new in it count, too."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        #: By the trail's id.
        self._invented: dict[str, set[str]] = {}

    def of(self, trail: Trail, region: str) -> str:
        if region == trail.region or region in arns.regions():
            return region
        invented = self._invented.get(trail.id)
        if invented is None:
            streams = spool.streams(self._reader, trail.id)
            invented = {stream.region for stream in streams if stream.region not in arns.regions()}
            invented.discard(trail.region)
            self._invented[trail.id] = invented
        if region not in invented:
            if len(invented) >= MOST_INVENTED:
                return trail.region
            invented.add(region)
        return region
