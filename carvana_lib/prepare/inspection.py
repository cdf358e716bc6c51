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

_FORMATS = {
    **{".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"},
    **{".webp": "WEBP", ".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF"},
}


@dataclass
class Look:
    """One look at a pair: its faults, and what other pairs are compared with (nothing where it is not known)."""

    pair: Pair
    faults: list[str] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)  # of the pixels of "photo" and "mask", not of the files
    size: tuple[int, int] | None = None  # (width, height) as the photo is displayed
    turned: bool = False  # by its EXIF note
    quality: str | None = None  # the quantisation, of JPEGs only


def look_at(pair: Pair) -> Look:
    """Read, decode and judge a photo and its mask."""
    look = Look(pair)
    for check in (_check_photo, _check_mask):
        try:
            check(look)
        except CarvanaError as error:
            look.faults.append(str(error))
    return look


def _check_photo(look: Look) -> None:
    path, faults = look.pair.photo, look.faults
    with open_image(path, read_whole(path)) as image:
        faults += _wrong_format(path, image)
        look.turned = (turn := orientation(image)) != 1
        if look.turned:
            faults.append(f"{path} is turned by its EXIF note (orientation {turn}), masks never are: save both upright")
        if image.mode != "RGB":
            faults.append(f"{path} is stored as {image.mode}, not RGB: convert it to fix its colours")
        look.size = displayed_size(image)
        look.quality = str(image.quantization) if hasattr(image, "quantization") else None
        # An eighth of the size is enough to find damage, and is decoded sooner.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        look.digests["photo"] = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if all(low == high for low, high in np.reshape(image.getextrema(), (-1, 2))):
            faults.append(f"{path} has a single colour everywhere: replace or remove it")


def _check_mask(look: Look) -> None:
    path, faults = look.pair.mask, look.faults
    content = read_whole(path)
    with open_image(path, content) as image:
        faults += _wrong_format(path, image)
        if getattr(image, "is_animated", False):
            faults.append(f"{path} has several frames, and only the first is read: save it as one")
    mask = read_mask(path, photo_size=None if look.turned else look.size, content=content)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if not mask.any():
        faults.append(f"{path} marks no car: replace it, or remove the pair")
    elif mask.all():
        faults.append(f"{path} marks the whole photo as car: replace it, or remove the pair")
    elif border.mean() > 0.5:
        faults.append(f"{path} is inverted (its border is car): make car white and background black")
    else:
        look.digests["mask"] = hashlib.blake2b(np.packbits(mask), digest_size=16).digest()


def read_whole(path: Path) -> bytes:
    """A file's bytes. Raises CarvanaError if it cannot be read or is obviously something else."""
    content = read_file(path)
    start = content[:1000].lower().lstrip()
    cases = (
        (not content, "is empty (0 bytes): copy or download it again"),
        (not content.strip(b"\0"), "holds only zeros, as after a crash or on a bad disk: copy it again"),
        (start[:1] == b"<" and b"html" in start, "is a web page: log in, then download it again"),
        (start.startswith(b"version https://git-lfs"), "only says where Git LFS keeps the image: run `git lfs pull`"),
    )
    for applies, fault in cases:
        if applies:
            raise CarvanaError(f"{path} {fault}")
    return content


def _wrong_format(path: Path, image: Image.Image) -> list[str]:
    actual, expected = image.format.replace("MPO", "JPEG"), _FORMATS[path.suffix.lower()]
    fault = f"{path} is a {actual} file, whatever its name says: convert it to {expected}"
    return [fault] if actual != expected else []
