"""The pictures of the published values: in a folder that the user gives, in the cache, or at their public address."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import reno
from reno.letters.amounts import in_bytes
from reno.running.checking.published import KnownPicture
from reno.spec.errors import typed_line
from reno.store.staging import clear_parts, write_whole

MOST_BYTES = 20 << 20
"""A larger answer is not the picture."""
TIMEOUT = 20.0
"""Seconds that a server may stay silent."""


class NoPicture(Exception):
    """A picture cannot be had. The message says why, and what to do."""


def cache_folder() -> Path:
    return reno.cache_folder() / "pictures"


@dataclass(frozen=True)
class PictureSource:
    """Where pictures come from."""

    folder: Path | None
    """The user's own."""
    fetching: bool
    """Whether a picture that is not on this disk may be fetched."""
    tell: Callable[[str], None] = print
    """Called with one line before a picture is fetched."""

    def find(self, known: KnownPicture) -> Image.Image:
        """The picture, in RGB. Raises NoPicture."""
        folders = [*([self.folder] if self.folder else []), cache_folder()]
        path = next((place for folder in folders if (place := folder / known.file).is_file()), None)
        path = path or self._fetched(known)
        try:
            picture = Image.open(path).convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise NoPicture(f"{path} cannot be read as a picture ({typed_line(error)})") from None
        if known.size is not None and picture.size != known.size:
            raise NoPicture(
                f"{path} is another picture: it has {picture.width} x {picture.height} pixels and not "
                f"{known.size[0]} x {known.size[1]}"
            )
        return picture

    def _fetched(self, known: KnownPicture) -> Path:
        """Fetches a picture to the cache. Raises NoPicture."""
        remedy = f"save {known.address} in a folder and give it as images=FOLDER"
        if not self.fetching:
            raise NoPicture(f"{known.file} is not on this disk; {remedy}")
        place = cache_folder() / known.file
        try:
            with urllib.request.urlopen(known.address, timeout=TIMEOUT) as answer:
                size = answer.headers.get("Content-Length")
                said = in_bytes(int(size) if size and size.isdigit() else None)
                self.tell(f"fetching {known.address}, {said}")
                content = answer.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise NoPicture(f"{known.address} sends more than {MOST_BYTES >> 20} MB; {remedy}")
            place.parent.mkdir(parents=True, exist_ok=True)
            clear_parts(place.parent, now=time.time())
            write_whole(place, content)
        except (OSError, ValueError) as error:  # a failed request is an OSError too
            raise NoPicture(f"{known.file} cannot be fetched ({typed_line(error)}); {remedy}") from None
        return place
