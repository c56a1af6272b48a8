"""The offline check of what a trail delivered: log files against their digests, digests against keys and each other.

    layout      where files lie, and what their names say
    inflate     gzip files in bounded memory, and what is wrong with one
    digests     a digest file, and the string that is signed
    keys        public keys, and what a signature shows
    signatures  where signatures are found, since a plain directory has no object metadata
    chains      the digests of one account and Region: who is to be believed, what is missing
    settle      what was changed, missing and added, seen together: moves and swaps
    run         all of it, on all cores

Nothing here talks to a server: the command fetches a bucket before. Nothing in the directory is trusted: names,
sizes and texts may be anyone's.
"""

from .chains import Selection, when
from .findings import Finding, Kind, Note, NoteKind, Report
from .keys import Keys
from .layout import Source
from .run import Options, Progress, regions, verify
from .signatures import Signatures

__all__ = [
    "Finding",
    "Keys",
    "Kind",
    "Note",
    "NoteKind",
    "Options",
    "Progress",
    "Report",
    "Selection",
    "Signatures",
    "Source",
    "regions",
    "verify",
    "when",
]
