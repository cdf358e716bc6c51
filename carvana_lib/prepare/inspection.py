"""What is wrong inside a photo and its mask. Each file is read once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..base.errors import CarvanaError
from ..base.image_files import displayed_size, open_image, orientation, read_file
from ..data import Pair
from ..images import read_mask

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF"}


@dataclass
class Look:
    """One look at a pair: its faults, and what other pairs are compared with (None where it is not known)."""

    faults: list[str] = field(default_factory=list)
    photo_digest: bytes | None = None  # of the pixels: a copy with another comment in the file is still found
    mask_digest: bytes | None = None  # of masks that mark something
    size: tuple[int, int] | None = None  # (width, height) as the photo is displayed
    turned: bool = False  # by its EXIF note
    quality: str | None = None  # the quantisation, of JPEGs only


def look_at(pair: Pair) -> Look:
    """Read, decode and judge a photo and its mask."""
    look = Look()
    for check in (_check_photo, _check_mask):
        try:
            check(pair, look)
        except CarvanaError as error:
            look.faults.append(str(error))
    return look


def _check_photo(pair: Pair, look: Look) -> None:
    path = pair.photo
    with open_image(path, read_whole(path)) as image:
        look.faults += _wrong_format(path, image)
        look.turned = (turn := orientation(image)) != 1
        if look.turned:
            look.faults.append(
                f"{path} is turned by its EXIF note (orientation {turn}), its mask may not be: save both upright"
            )
        if image.mode != "RGB":
            look.faults.append(f"{path} is stored as {image.mode}, not RGB: convert it to fix its colours")
        look.size = displayed_size(image)
        look.quality = str(image.quantization) if hasattr(image, "quantization") else None
        # An eighth of the size is enough to find damage, and is decoded sooner.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        look.photo_digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if _is_flat(image):
            look.faults.append(f"{path} has a single colour everywhere: replace or remove it")


def _check_mask(pair: Pair, look: Look) -> None:
    path = pair.mask
    content = read_whole(path)
    with open_image(path, content) as image:
        look.faults += _wrong_format(path, image)
        if getattr(image, "is_animated", False):
            look.faults.append(f"{path} has several frames, and only the first is read: save it as one")
    mask = read_mask(path, photo_size=None if look.turned else look.size, content=content)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if not mask.any():
        look.faults.append(f"{path} marks no car: replace it, or remove the pair")
    elif mask.all():
        look.faults.append(f"{path} marks the whole photo as car: replace it, or remove the pair")
    elif border.mean() > 0.5:
        look.faults.append(f"{path} is inverted (its border is car): make car white and background black")
    else:
        look.mask_digest = hashlib.blake2b(np.packbits(mask), digest_size=16).digest()


def read_whole(path: Path) -> bytes:
    """A file's bytes. Raises CarvanaError if it cannot be read or is obviously something else."""
    content = read_file(path)
    start = content[:1000].lower()
    if not content:
        raise CarvanaError(f"{path} is empty (0 bytes): copy or download it again")
    if not content.strip(b"\0"):
        raise CarvanaError(f"{path} holds only zeros, as after a crash or on a bad disk: copy it again")
    if start.lstrip().startswith(b"<") and b"html" in start:
        raise CarvanaError(f"{path} is a web page, not an image: log in, then download it again")
    if start.startswith(b"version https://git-lfs"):
        raise CarvanaError(f"{path} only says where Git LFS keeps the image: run `git lfs pull`")
    return content


def _wrong_format(path: Path, image: Image.Image) -> list[str]:
    actual, expected = image.format.replace("MPO", "JPEG"), _FORMATS[path.suffix.lower()]
    return (
        [] if actual == expected else [f"{path} is a {actual} file, whatever its name says: convert it to {expected}"]
    )


def _is_flat(image: Image.Image) -> bool:
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in bands)
