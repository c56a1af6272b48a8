"""Where the signature of a digest is found.

S3 keeps it in the object's metadata, which a plain directory does not hold. The digest after it repeats it; for the
newest one it may lie beside it (`FILE.signature`, or `FILE.metadata.json` as `aws s3api head-object` prints it), or in
a manifest for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import SettingsError
from .layout import DigestName, Object, digest_name

SIDE_FILES = (".signature", ".metadata.json")

_MOST_SIDE_BYTES = 64 << 10
_MOST_MANIFEST_BYTES = 1 << 30


class Signatures:
    """Those of a manifest: by `s3://bucket/key`, or by the key alone."""

    def __init__(self, listed: Mapping[str, str] | None = None) -> None:
        self._listed = listed or {}

    def __len__(self) -> int:
        return len(self._listed)

    def digests(self) -> Iterator[tuple[Object, DigestName]]:
        """Those that it has a signature for, and what their keys say; without a bucket where none is given."""
        for listed in self._listed:
            place = Object("", listed)
            if listed.startswith("s3://"):
                bucket, _, key = listed.removeprefix("s3://").partition("/")
                place = Object(bucket, key)
            name = digest_name(place.key)
            if name is not None:
                yield place, name

    def of(self, object_: Object, path: str) -> list[str]:
        """Those that are said to be the object's, without doubles."""
        found = [self._listed.get(str(object_)), self._listed.get(object_.key), *map(_beside, _side_files(path))]
        return list(dict.fromkeys(signature for signature in found if signature))


def load(path: Path) -> Signatures:
    """A JSON object from keys to signatures, or to the metadata of objects."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_MANIFEST_BYTES + 1)
        if len(content) > _MOST_MANIFEST_BYTES:
            raise SettingsError(f"{path}: it has more than {_MOST_MANIFEST_BYTES} bytes")
        listed = msgspec.json.decode(content, type=dict[str, str | dict[str, Any]])
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: it is not a JSON object from keys to signatures: {error}") from error
    signatures = {key: _in_metadata(said) if isinstance(said, dict) else said for key, said in listed.items()}
    return Signatures({key: signature.strip() for key, signature in signatures.items() if signature is not None})


def signed_file(path: str) -> str | None:
    """The file that a side file is about."""
    for suffix in SIDE_FILES:
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    return None


def _side_files(path: str) -> list[str]:
    return [path + suffix for suffix in SIDE_FILES]


def _beside(path: str) -> str | None:
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_SIDE_BYTES)
        if path.endswith(".signature"):
            return content.decode("ascii", "backslashreplace").strip()  # a damaged one is no missing one
        said = msgspec.json.decode(content)
    except (OSError, ValueError, RecursionError):
        return None  # a signature that cannot be read is none
    return _in_metadata(said) if isinstance(said, dict) else None


def _in_metadata(said: Mapping[str, Any]) -> str | None:
    """Of metadata alone, or of HeadObject's whole output."""
    metadata = said.get("Metadata", said)
    return in_metadata(metadata) if isinstance(metadata, dict) else None


def in_metadata(metadata: Mapping[str, Any]) -> str | None:
    """Some servers keep names of metadata in other letters than they were given."""
    signature = next((said for name, said in metadata.items() if name.lower() == "signature"), None)
    return signature.strip() if isinstance(signature, str) else None
