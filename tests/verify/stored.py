"""A delivered directory put into a bucket, as a trail does it: a digest's signature is in its object's metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .delivered import Chain


class Unwritten(Chain):
    """A trail's files under keys that no directory could hold."""

    def __init__(self, *arguments: Any, **further: Any) -> None:
        super().__init__(Path(), *arguments, **further)
        self.contents: dict[str, bytes] = {}

    def write(self, key: str, content: bytes) -> None:
        self.contents[key] = content


class Stored:
    def __init__(self, client: Any, name: str, root: Path = Path()) -> None:
        self.client = client
        self.name = name
        self._root = root
        #: What the bucket holds: contents and signatures by key.
        self._held: dict[str, tuple[bytes, str]] = {}
        client.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes, signature: str = "", **further: Any) -> None:
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"} if signature else {}
        self.client.put_object(Bucket=self.name, Key=key, Body=content, Metadata=metadata, **further)

    def hold(self, chain: Unwritten) -> None:
        for key, content in chain.contents.items():
            self.put(key, content, chain.signatures.get(key, ""))

    def copy(self, chains: Sequence[Chain]) -> None:
        """Make the bucket hold what the directory does."""
        signatures = {key: signature for chain in chains for key, signature in chain.signatures.items()}
        files = [path for path in self._root.rglob("*") if path.is_file() and path.suffix != ".signature"]
        wanted = {
            key: (path.read_bytes(), signatures.get(key, ""))
            for path in files
            for key in [path.relative_to(self._root).as_posix()]
        }
        for key in self._held.keys() - wanted.keys():
            self.client.delete_object(Bucket=self.name, Key=key)
        for key, held in wanted.items():
            if self._held.get(key) != held:
                self.put(key, *held)
        self._held = wanted
