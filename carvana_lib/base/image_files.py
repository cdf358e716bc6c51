"""Open a picture file, or say in one line why not; find the two colours of a mask."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import CarvanaError, reason

MOST_PIXELS = 50_000_000
MOST_BYTES = 200_000_000
_MOST_SCANS = 300  # of a progressive JPEG, which usually has ten; each scan passes over the whole picture
# Pillow knows forty formats. Some of them start other programs, and some were never examined closely.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM")


@contextmanager
def open_image(path: str | Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """An opened picture. Pillow decodes a JPEG later, when its pixels are needed.

    Args:
        content: the file's bytes, if they were read already; `path` then only names the picture in messages.

    Raises:
        CarvanaError: no such file, not an image, damaged, or more than MOST_PIXELS or MOST_BYTES. Any other error in
            the `with` block becomes one too, except a MemoryError, which is not the file's fault.
    """
    try:
        with _open(path, read_file(path) if content is None else content) as image:
            yield image
    except (CarvanaError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise CarvanaError(f"{path} is not an image, whatever its name says: replace or remove it") from None
    except Image.DecompressionBombError:
        raise CarvanaError(f"{path} has too many pixels to be a photo: replace or remove it") from None
    except Exception as error:
        # Damaged files make Pillow fail in many ways, not only with OSError.
        raise CarvanaError(f"{path} is damaged ({reason(error)}): replace or remove it") from None


def read_file(path: str | Path) -> bytes:
    """All bytes of a photo or mask. Raises CarvanaError if it cannot be read, has no end or is far too big."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise CarvanaError(f"{path} is a folder: name the photos in it ({path}/*.jpg)")
        if not stat.S_ISREG(status.st_mode):
            raise CarvanaError(f"{path} is a pipe or a device: put the file itself there")
        if status.st_size > MOST_BYTES:
            size = f"{status.st_size / 1e6:.0f} MB, more than {MOST_BYTES // 1_000_000}"
            raise CarvanaError(f"{path} has {size}: replace or remove it")
        return Path(path).read_bytes()
    except FileNotFoundError:
        gone = f"{path} is a link to a file that is gone: replace it by the file"
        raise CarvanaError(gone if os.path.islink(path) else f"no file {path}: check the path") from None
    except PermissionError:
        raise CarvanaError(f"{path} may not be read: change its permissions (chmod u+r {path})") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CarvanaError(f"{path} is a link that leads back to itself: replace it by the file") from None
        why = error.strerror or error
        raise CarvanaError(f"{path} cannot be read ({why}): copy it again, and check the disk") from None


def _open(path: str | Path, content: bytes) -> Image.Image:
    """`Image.open` with limits."""
    image = Image.open(io.BytesIO(content), formats=_FORMATS)
    if image.width * image.height > MOST_PIXELS:
        size = f"{image.width * image.height / 1e6:.0f} megapixels, more than {MOST_PIXELS // 1_000_000}"
        raise CarvanaError(f"{path} has {size}: make it smaller first")
    if image.format == "PNG":
        # Pillow decodes a PNG in spite of wrong checksums. `verify` checks them and leaves the image unusable.
        image.verify()
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
        # Decode now: the EXIF note may follow the pixels, and `orientation` passes over all failures.
        image.load()
        image.info["bits"] = content[24]  # a value; Pillow reads 16-bit colours as 8-bit ones and does not say so
    # The third byte of a scan's header is 0, because the header is short.
    if image.info.get("progressive") and (scans := content.count(b"\xff\xda\x00")) > _MOST_SCANS:
        raise CarvanaError(f"{path} consists of {scans} scans: save it as a plain JPEG")
    return image


def orientation(image: Image.Image) -> int:
    """How the EXIF note of an opened image says to turn it: 2 to 8, or 1 (upright) if it says nothing sensible."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        # Damaged notes make Pillow fail in many ways. Viewers show such photos as they are stored.
        return 1
    return turn if turn in range(2, 9) else 1


def displayed_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image as a viewer shows it, with its EXIF turn applied."""
    return image.size[::-1] if orientation(image) >= 5 else image.size


def to_rgb(image: Image.Image, path: str | Path) -> Image.Image:
    """A photo of any colour mode as 8-bit RGB. Raises CarvanaError for 32-bit greys."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise CarvanaError(f"{path} has 32-bit greys, and no rule says which is white: save it as 8-bit PNG")
    if image.mode.startswith("I"):
        # Pillow would cut 16-bit greys off at 255 instead of scaling them.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def two_colours(image: Image.Image, path: str | Path) -> np.ndarray:
    """Where a mask is not black: bool (height, width).

    Raises CarvanaError for more than 8 bits a value, an alpha channel that hides parts, or a second colour.
    """
    if image.mode[0] in "IF" or image.info.get("bits") == 16:
        # Soft edges of 16 bits would be cut off at 255, and all of them taken for car.
        raise CarvanaError(f"{path} has more than 8 bits a pixel: threshold it and save it as 8-bit PNG or GIF")
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() != (255, 255):
        raise CarvanaError(f"{path} is transparent in places: save it in black and white, without transparency")
    is_car, colours = _by_colour(image)
    if not colours or len(colours - {(0, 0, 0)}) > 1:
        names = [str(rgb[0]) if len(set(rgb)) == 1 else f"#{bytes(rgb).hex()}" for rgb in sorted(colours)]
        values = ", ".join(names[:4] + ["..."] * (len(names) > 4))
        listed = f"its values are {values}" if names else "it has hundreds of colours"
        kind = "not two-valued" if 0 < len(names) < 4 else "anti-aliased, not two-valued"
        rule = "a mask holds 0 for background and one other value for car"
        raise CarvanaError(f"{path} is {kind} ({listed}): {rule}; threshold it")
    return is_car


def _by_colour(image: Image.Image) -> tuple[np.ndarray, set[tuple[int, ...]]]:
    """Where an image is not black, and the RGB colours it uses; no colours if it has more than 256."""
    if image.mode not in ("1", "L", "P"):
        image = image.convert("RGB")
        return np.asarray(image).any(axis=2), {rgb for _, rgb in image.getcolors(256) or []}
    # Each value is looked up in the palette only once.
    if image.mode == "P":
        palette = np.reshape(image.getpalette("RGB"), (-1, 3))
    else:
        image, palette = image.convert("L"), np.tile(np.arange(256)[:, None], 3)
    used = np.flatnonzero(image.histogram())
    if used[-1] >= len(palette):
        raise ValueError("its palette leaves out colours that its pixels use")
    return palette.any(axis=1)[np.asarray(image)], set(map(tuple, palette[used].tolist()))
