"""Read photos and masks from files, at their own size or averaged down."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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


def read_photo(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Photo as uint8 RGB (height, width, 3), turned as its EXIF says.

    Args:
        path: JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF or PPM, in any colour mode.
        size: (width, height) to average down to; None keeps the photo's own.

    Raises:
        CarvanaError: not an image, truncated, too big to be a photo, or of 32-bit greys.
    """
    with open_image(path) as image:
        deep = image.mode == "F" or (image.mode == "I" and image.format != "PPM")
        if deep:
            raise CarvanaError(f"{path} has 32-bit greys, and no rule says which is white: save it as 8-bit PNG")
        try:
            if size is not None:
                _decode_less(image, size)
            if orientation(image) != 1:
                image = ImageOps.exif_transpose(image)
            image = _to_rgb(image)
        except MemoryError:
            raise
        except Exception as error:
            raise CarvanaError(f"{path} is damaged ({_words(error)}): replace or remove it") from None
        return np.asarray(image if size is None else resize(image, size))


def _decode_less(image: Image.Image, size: tuple[int, int]) -> None:
    """Let JPEG decode at 1/8, 1/4 or 1/2 of its size, as far as that is still at least `size` (as displayed)."""
    width, height = size[::-1] if orientation(image) >= 5 else size
    for scale in (8, 4, 2):
        # A side that does not divide would be rounded up, and the photo shifted against its mask.
        exact = image.width % scale == 0 == image.height % scale
        if exact and image.width // scale >= width and image.height // scale >= height:
            image.draft("RGB", (image.width // scale, image.height // scale))
            return


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` at `size` = (width, height): averaged when it gets smaller, interpolated when larger."""
    # Averaging (BOX) twice is averaging once, so photos stored at half size look the same.
    smaller = size[0] <= image.width and size[1] <= image.height
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would cut 16-bit greys off at 255 instead of scaling them.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def read_mask(
    path: str | Path,
    size: tuple[int, int] | None = None,
    photo_size: tuple[int, int] | None = None,
    content: bytes | None = None,
) -> np.ndarray:
    """Mask at its own size as bool (height, width), or averaged down to `size` as uint8.

    An averaged value is 255 times the share of the pixel that is car: a soft target.

    Args:
        path: GIF or PNG whose pixels hold two values or colours, 0 or black for background.
        size: (width, height) to average down to; None keeps the mask's own.
        photo_size: (width, height) the mask must have.
        content: the file's bytes, if they were read already.

    Raises:
        CarvanaError: not an image, truncated, of more than 8 bits, with an alpha channel that hides
            parts, not two-valued, or not `photo_size`.
    """
    with open_image(path, content) as image:
        if photo_size is not None and image.size != photo_size:
            here, there = ("{}x{}".format(*s) for s in (image.size, photo_size))
            raise CarvanaError(
                f"{path} is {here} but its photo is {there}: replace the mask by one of the photo's size"
            )
        try:
            if image.mode[0] in "IF" or (image.format == "PNG" and _png_bits(path, content) == 16):
                # Cut off at 255, soft 16-bit edges would pass for car.
                raise CarvanaError(f"{path} has more than 8 bits a pixel: threshold it and save it as 8-bit PNG or GIF")
            if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() != (255, 255):
                raise CarvanaError(f"{path} is transparent in places: save it in black and white, without transparency")
            mask, colours = _car_and_colours(image)
        except (CarvanaError, MemoryError):
            raise
        except Exception as error:
            raise CarvanaError(f"{path} is damaged ({_words(error)}): replace or remove it") from None
    if colours is None or len(colours | {0}) > 2:
        kind = "" if colours and len(colours) < 4 else "anti-aliased, "
        some = [f"#{colour:06x}" if colour % 0x010101 else colour // 0x010101 for colour in sorted(colours or ())[:4]]
        more = "..." if colours and len(colours) > 4 else ""
        levels = f"its levels are {some}{more}" if colours else "it has hundreds of colours"
        raise CarvanaError(
            f"{path} is {kind}not two-valued ({levels}): a mask holds 0 for background and one other value for car; "
            "threshold it"
        )
    if size is None:
        return mask
    return np.asarray(resize(Image.fromarray(mask.astype(np.uint8) * 255), size))


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
