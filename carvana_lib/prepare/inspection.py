"""What is wrong inside a photo and its mask. Each file is read once."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..base.classes import IGNORED
from ..base.errors import CarvanaError
from ..base.image_files import displayed_size, open_image, orientation, read_file
from ..data import Pair
from ..images import read_labels, read_mask

_EDGE = 12  # grey levels over three pixels
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends the pixels of a JPEG
_USUAL_CODES = bytes.fromhex("100002010303020403050504040000017d01020300")  # zeros are no plain colour in them
_FILL = bytes(16)  # the decoder looks a little further than the last pixel
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
    share: float = 0.0  # of the photo that the mask calls car
    on_edges: float = 0.0  # the share of the mask's outline that lies on an edge of the photo
    classes: frozenset[int] = frozenset()  # of several, the numbers of those that the mask shows


def look_at(pair: Pair) -> Look:
    """Read, decode and judge a photo and its mask."""
    look, grey = Look(pair), None
    try:
        grey = _check_photo(look)
    except CarvanaError as error:
        look.faults.append(str(error))
    try:
        mask = _check_mask(look)
    except CarvanaError as error:
        look.faults.append(str(error))
    if not look.faults:
        look.share = np.count_nonzero(mask) / mask.size
        rows, columns = (np.arange(small) * size // small for small, size in zip(grey.shape, mask.shape, strict=True))
        look.on_edges = _on_edges(grey, mask[rows[:, None], columns])
    return look


def _check_photo(look: Look) -> np.ndarray:
    """Adds to `look`; returns the photo in grey, uint8 (height, width), about 240 pixels wide if it is wider."""
    path, faults = look.pair.photo, look.faults
    content = read_whole(path)
    scans = _scans(content)
    # Without the marker of the end, the decoder asks for more where a scan ends early, and Pillow calls it truncated.
    # With the marker it paints the rest grey and says nothing. A file of several scans needs the marker.
    single = len(scans) == 1 and content[scans[0][0].stop :][:2] == b"\xff\xd9"
    reader = _Reader(content[: scans[0][0].stop] + _FILL) if single else None
    with open_image(path, reader.getvalue() if reader else content) as image:
        faults += _wrong_format(path, image)
        look.turned = (turn := orientation(image)) != 1
        if look.turned:
            faults.append(f"{path} is turned by its EXIF note (orientation {turn}), masks never are: save both upright")
        if image.mode != "RGB" and not look.pair.group:  # Carvana's photos are colour photos; others may be grey
            faults.append(f"{path} is stored as {image.mode}, not RGB: convert it to fix its colours")
        look.size = displayed_size(image)
        look.quality = str(image.quantization) if hasattr(image, "quantization") else None
        # A small size is enough to find damage, and is decoded sooner.
        image.draft(None, (min(image.width, 200), min(image.height, 130)))
        if reader:
            image.fp = reader
        look.digests["photo"] = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if scans and (why := (reader and reader.left_over()) or _gaps(content, scans)):
            faults.append(f"{path} is damaged ({why}): replace or remove it")
        if all(low == high for low, high in np.reshape(image.getextrema(), (-1, 2))):
            faults.append(f"{path} has a single colour everywhere: replace or remove it")
        return np.asarray(image.convert("L").reduce(max(1, min(image.width // 200, image.height // 130))))


class _Reader(io.BytesIO):
    """A JPEG that is handed to the decoder in small pieces in the end, to see where the decoder stops."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, max(512, len(self.getbuffer()) - self.tell() - 8192)))

    def left_over(self) -> str:
        rest = self.getbuffer()[self.tell() :]
        # Some cameras fill up their files with zeros.
        return f"{len(rest)} bytes are left over when it is complete" if len(rest) > 1024 and any(rest) else ""


def _scans(content: bytes) -> list[tuple[range, bytes]]:
    """Where the scans of a JPEG lie, and the header of each: components, then first and last frequency, precision."""
    scans, place = [], 2
    while content[:2] == b"\xff\xd8" and content[place : place + 1] == b"\xff" and content[place + 1 :][:1] != b"\xd9":
        start = place + 2 + int.from_bytes(content[place + 2 : place + 4])
        if start == place + 2:
            break  # zeros in place of a length
        if content[place + 1] == 0xDA:
            found = _MARKER.search(content, start)
            end = found.start() if found else len(content)
            scans.append((range(start, end), content[place + 4 : start]))
            start = end
        place = start
    return scans


def _gaps(content: bytes, scans: list[tuple[range, bytes]]) -> str:
    """What is missing in a JPEG of several scans, or of one with restart markers; nothing if all is there.

    The decoder makes a picture of such a file without a word. No part of a photo is written as many zeros in a row.
    But its brightness (frequency 0) alone may be, or plain white in codes made for it.
    """
    left = {}
    for place, header in scans:
        parts, (first, last, precision) = header[1:-3:2], header[-3:]
        left |= {(part, frequency): precision & 15 for part in parts for frequency in range(first, last + 1)}
        telling = first or (last and (_USUAL_CODES in content or b"\xff\xd0" in content[place.start : place.stop]))
        if telling and content.find(bytes(64), place.start, place.stop) >= 0:
            return "a hole of zeros inside"
    whole = {(part, frequency) for part, _ in left for frequency in range(64)}
    return "" if left.keys() == whole and not any(left.values()) else "its last scans are missing"


def _on_edges(grey: np.ndarray, mask: np.ndarray) -> float:
    """The share of a mask's outline where the photo's grey changes. uint8 and bool, both (height, width)."""
    grey = grey.astype(np.int16)
    down, right = mask[2:-1] != mask[1:-2], mask[:, 2:-1] != mask[:, 1:-2]
    steps = np.concatenate([np.abs(grey[3:] - grey[:-3])[down], np.abs(grey[:, 3:] - grey[:, :-3])[right]])
    return float((steps > _EDGE).mean()) if len(steps) else 0.0


def _check_mask(look: Look) -> np.ndarray:
    """Adds to `look`; returns the mask, bool (height, width)."""
    path, faults = look.pair.mask, look.faults
    content = read_whole(path)
    with open_image(path, content) as image:
        faults += _wrong_format(path, image)
        if getattr(image, "is_animated", False):
            faults.append(f"{path} has several frames, and only the first is read: save it as one")
    size = None if look.turned else look.size
    if look.pair.classes:
        labels = read_labels(path, look.pair.classes, photo_size=size, content=content)
        look.classes = frozenset(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {IGNORED}
        if not look.classes:
            faults.append(f"{path} marks no class, every pixel counts for nothing: replace it, or remove the pair")
        return (labels != 0) & (labels != IGNORED)
    mask = read_mask(path, photo_size=size, content=content, any_value=look.pair.any_value)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if look.pair.group:  # in other data a photo may show nothing, or be full of what is looked for
        return mask
    if not mask.any():
        faults.append(f"{path} marks no car: replace it, or remove the pair")
    elif mask.all():
        faults.append(f"{path} marks the whole photo as car: replace it, or remove the pair")
    elif border.mean() > 0.5:
        faults.append(f"{path} is inverted (its border is car): make car white and background black")
    else:
        look.digests["mask"] = hashlib.blake2b(np.packbits(mask), digest_size=16).digest()
    return mask


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
