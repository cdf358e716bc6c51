"""What is wrong inside a photo and its mask; each file is read once."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..base.errors import CarvanaError
from ..base.image_files import check_file, displayed_size, load_pixels, open_image, orientation
from ..data import Pair
from ..images import read_mask

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF"}


@dataclass
class Look:
    """One look at a pair: its faults, and what the others are compared with (None where not known)."""

    faults: list[str] = field(default_factory=list)
    photo_digest: bytes | None = None  # of what it shows, so that another comment in the file hides nothing
    mask_digest: bytes | None = None  # of masks that mark something
    size: tuple[int, int] | None = None  # as the photo is displayed
    turned: bool = False  # by its EXIF note
    quality: str | None = None  # the quantisation, of JPEGs only


def look_at(pair: Pair) -> Look:
    """Read, decode and judge a photo and its mask."""
    look = Look()
    for check, path in ((_check_photo, pair.photo), (_check_mask, pair.mask)):
        try:
            check(pair, look)
        except CarvanaError as error:
            look.faults.append(str(error))
        except MemoryError:
            raise
        except Exception as error:
            # A file that fails in a way of its own must not hide the faults of the others.
            look.faults.append(f"{path} cannot be judged ({type(error).__name__}: {error}): replace or remove it")
    return look


def _check_photo(pair: Pair, look: Look) -> None:
    path = pair.photo
    content = read_whole(path)
    with open_image(path, content) as image:
        look.faults += _wrong_name(path, image)
        look.turned = (turn := orientation(image)) != 1
        if look.turned:
            look.faults.append(
                f"{path} is turned by its EXIF note (orientation {turn}), its mask may not be: save both upright"
            )
        if image.mode != "RGB":
            look.faults.append(f"{path} is stored as {image.mode}, not RGB: convert it to fix its colours")
        look.size = displayed_size(image)
        look.quality = str(image.quantization) if hasattr(image, "quantization") else None
        # An eighth of the size is enough to find what is damaged, and decodes sooner.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        load_pixels(path, image)
        look.photo_digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if _is_flat(image):
            look.faults.append(f"{path} has a single colour everywhere: replace or remove it")


def _check_mask(pair: Pair, look: Look) -> None:
    path = pair.mask
    content = read_whole(path)
    with open_image(path, content) as image:
        look.faults += _wrong_name(path, image)
        if getattr(image, "is_animated", False):
            look.faults.append(f"{path} has several frames, only the first is read: save it as one")
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
    """A file's bytes. Raises CarvanaError for what cannot be read or is plainly something else."""
    try:
        check_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise CarvanaError(f"{path} {_reason(path, error)}") from None
    if not content:
        raise CarvanaError(f"{path} is empty (0 bytes): copy or download it again")
    if not content.strip(b"\0"):
        raise CarvanaError(f"{path} holds nothing but zeros, as after a crash or on a bad disk: copy it again")
    start = content[:1000].lower()
    if start.lstrip().startswith(b"<") and b"html" in start:
        raise CarvanaError(f"{path} is a web page, not an image: log in, then download it again")
    if start.startswith(b"version https://git-lfs"):
        raise CarvanaError(f"{path} only says where Git LFS keeps the image: run `git lfs pull`")
    return content


def _reason(path: Path, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a link that leads back to itself: replace it by the file"
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return "is a link to a file that is gone: replace it by the file"
    if isinstance(error, IsADirectoryError) or path.is_dir():
        return "is a folder with the name of an image: replace it by the file"
    if isinstance(error, PermissionError):
        return f"may not be read: change its permissions (chmod u+r {path})"
    return f"cannot be read ({error.strerror or error}): copy it again, and check the disk"


def _wrong_name(path: Path, image: Image.Image) -> list[str]:
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind == _FORMATS[path.suffix.lower()]:
        return []
    return [f"{path} is a {kind} file, whatever its name says: convert it to {_FORMATS[path.suffix.lower()]}"]


def _is_flat(image: Image.Image) -> bool:
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in bands)
