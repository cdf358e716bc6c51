"""Open a picture file, or say in one line why that cannot be done; the two colours of a mask."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import CarvanaError

MOST_PIXELS = 50_000_000
MOST_BYTES = 200_000_000
_MOST_SCANS = 300  # of a progressive JPEG, which usually has ten; each goes over the whole picture
_EXIF_ORIENTATION = 0x0112
# Pillow knows forty formats; some of them start other programs or have never been looked at closely.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM")


def open_image(path: str | Path, content: bytes | None = None) -> Image.Image:
    """`PIL.Image.open` with its failures in words (CarvanaError); the pixels of a JPEG are not decoded yet.

    Args:
        path: photo or mask.
        content: the file's bytes, if they were read already.

    Raises:
        CarvanaError: no such file, not an image, or one of more than MOST_PIXELS or MOST_BYTES.
    """
    try:
        if content is None:
            check_file(path)
        image = _open(path, content)
        if image.width * image.height > MOST_PIXELS:
            raise CarvanaError(
                f"{path} has {image.width * image.height / 1e6:.0f} megapixels, more than "
                f"{MOST_PIXELS // 1_000_000}: make it smaller first"
            )
        if image.format == "PNG":
            # Pillow decodes past wrong check sums; `verify` does not, but leaves the image used up.
            image.verify()
            image = _open(path, content)
            # Its EXIF note may follow the pixels: what is broken has to show here, not while looking for the note.
            image.load()
        if image.info.get("progressive"):
            # The third byte begins the length of a scan's header, which is always short.
            scans = (Path(path).read_bytes() if content is None else content).count(b"\xff\xda\x00")
            if scans > _MOST_SCANS:
                raise CarvanaError(f"{path} is put together from {scans} scans: save it as a plain JPEG")
        return image
    except (CarvanaError, MemoryError):
        raise
    except FileNotFoundError:
        raise CarvanaError(f"no file {path}: check the path") from None
    except IsADirectoryError:
        raise CarvanaError(f"{path} is a folder: name the photos in it ({path}/*.jpg)") from None
    except UnidentifiedImageError:
        raise CarvanaError(f"{path} is not an image, whatever its name says: replace or remove it") from None
    except Image.DecompressionBombError:
        raise CarvanaError(f"{path} has too many pixels to be a photo: replace or remove it") from None
    except Exception as error:
        # Damaged files make Pillow fail in many ways, not only with OSError.
        raise CarvanaError(f"{path} cannot be read ({_words(error)}): replace or remove it") from None


def check_file(path: str | Path) -> None:
    """CarvanaError for what could be read without end: a pipe, a device, a file far bigger than photos are."""
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise CarvanaError(f"{path} is a pipe or a device: put the file itself there")
    if status.st_size > MOST_BYTES:
        raise CarvanaError(
            f"{path} has {status.st_size / 1e6:.0f} MB, more than {MOST_BYTES // 1_000_000}: replace or remove it"
        )


def _open(path: str | Path, content: bytes | None) -> Image.Image:
    return Image.open(path if content is None else io.BytesIO(content), formats=_FORMATS)


def load_pixels(path: str | Path, image: Image.Image) -> None:
    """Decode an opened image. Raises CarvanaError if it is damaged."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise CarvanaError(f"{path} is damaged ({_words(error)}): replace or remove it") from None


def _words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def orientation(image: Image.Image) -> int:
    """How the EXIF note of an opened image says to turn it, 2 to 8; 1 (upright) where it says nothing sensible."""
    try:
        turn = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        # Damaged notes make Pillow fail in many ways; viewers show such photos as they are stored.
        return 1
    return turn if turn in range(2, 9) else 1


def displayed_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image as a viewer shows it, its EXIF turn applied."""
    return image.size[::-1] if orientation(image) >= 5 else image.size


def _png_bits(path: str | Path, content: bytes | None) -> int:
    """Bits a value of a PNG file, which Pillow does not tell of colours."""
    if content is None:
        with open(path, "rb") as file:
            content = file.read(25)
    return content[24]


def _car_and_colours(image: Image.Image) -> tuple[np.ndarray, set[int] | None]:
    """Where a mask is not black, bool (height, width), and its colours, 0xRRGGBB; None for hundreds of them."""
    if image.mode not in ("1", "L", "P"):
        image = image.convert("RGB")
        few = image.getcolors(256)
        colours = few and {red << 16 | green << 8 | blue for _, (red, green, blue) in few}
        return np.asarray(image).any(axis=2), colours
    # Each value is looked up once, not for each of two million pixels.
    pixels = image if image.mode == "P" else image.convert("L")
    palette = image.getpalette("RGB") if image.mode == "P" else np.repeat(np.arange(256), 3)
    colours = np.reshape(palette, (-1, 3)) @ (1 << 16, 1 << 8, 1)
    used = np.flatnonzero(pixels.histogram())
    if used[-1] >= len(colours):
        raise ValueError("pixels of colours that its palette leaves out")
    is_car = np.zeros(256, dtype=bool)
    is_car[used] = colours[used] > 0
    return is_car[np.asarray(pixels)], set(colours[used].tolist())
