"""Digests that do not lie where they say: those that were moved, and those whose word about it was changed.

A digest that was moved is still what was signed for the place that it states. One whose content was changed where it
lies may state anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from .digests import Digest, DigestFile
from .keys import Keys, Shown
from .layout import Object, Places, digest_name
from .signatures import Signatures


def believable(
    displaced: Sequence[DigestFile],
    others: Iterable[DigestFile],
    places: Places,
    keys: Keys | None,
    signatures: Signatures,
) -> Iterator[DigestFile]:
    """The displaced ones; of one that was changed where it lies nothing is left but its place."""
    after: dict[Object, list[Digest]] = defaultdict(list)
    for file in (*others, *displaced):
        if file.digest is not None and file.digest.previous is not None:
            after[file.digest.previous].append(file.digest)
    taken = {file.object for file in displaced}
    known = _Known(after, places, keys, signatures)
    for file in displaced:
        assert file.digest is not None
        stated = file.digest.stated
        if stated not in taken and stated not in after and not known.vouched(file) and known.is_another(file):
            yield DigestFile(
                file.path,
                file.object,
                digest_name(file.object.key),
                fault="changed",
                detail=f"it is not the digest that was signed for its place: it states that it is {stated}",
            )
        else:
            yield file


class _Known:
    def __init__(
        self, after: dict[Object, list[Digest]], places: Places, keys: Keys | None, signatures: Signatures
    ) -> None:
        self._after = after
        self._places = places
        self._keys = keys
        self._signatures = signatures

    def vouched(self, file: DigestFile) -> bool:
        """Whether a signature of it is here, for the place that it states."""
        assert file.digest is not None
        place = self._places.path(file.digest.stated)
        given = self._signatures.of(file.object, file.path)
        if place is not None:
            given += self._signatures.of(file.digest.stated, place)
        return any(self._shown(file, signature) is Shown.VALID for signature in given)

    def is_another(self, file: DigestFile) -> bool:
        """Whether the place that it lies in is known to be that of another content."""
        assert file.digest is not None
        lies, states = digest_name(file.object.key), digest_name(file.digest.digest_s3_object)
        if lies is None or states is None or (lies.account, lies.region) != (states.account, states.region):
            return False  # what is known of the place that it states lies in another unit
        # Another bucket's digest may have been put here as it was: only what came with it says that it is none.
        after = self._after.get(file.object, []) if self._places.path(file.digest.stated) is not None else []
        if self._keys is None:
            return any(digest.previous_digest_hash_value not in (None, file.sha256) for digest in after)
        given = self._signatures.of(file.object, file.path)
        given += [one for digest in after if (one := digest.previous_digest_signature) is not None]
        return any(self._shown(file, signature) is Shown.OTHER_CONTENT for signature in given)

    def _shown(self, file: DigestFile, signature: str) -> Shown | None:
        digest = file.digest
        assert digest is not None
        if self._keys is None or digest.digest_public_key_fingerprint not in self._keys:
            return None
        return self._keys.show(digest.digest_public_key_fingerprint, signature, digest.string_to_sign(file.sha256))
