"""The lot of an image: a number, by the content of its file alone, that decides whether it is held out."""

from __future__ import annotations

import hashlib

WITHIN = "@"  # between the digest of a photograph and that of a tile
_SALT = b"zeuxis hold-out 1\0"  # so that no other use of the digests goes along with the lots


def photograph_of(digest: str) -> str:
    """The digest of the photograph that a tile was cut out of; that of any other image as it is."""
    return digest.partition(WITHIN)[0]


def lot_of(digest: str) -> int:
    """The lot, 0 to 2^64 - 1, of an image by the digest of its file; the tiles of a photograph have one lot."""
    return int.from_bytes(hashlib.sha256(_SALT + photograph_of(digest).encode()).digest()[:8])
