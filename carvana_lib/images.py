"""Read photos and masks from files, at their own size or averaged down."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import CarvanaError

MOST_PIXELS = 50_000_000
EXIF_ORIENTATION = 0x0112
# Pillow knows forty formats; some of them start other programs or have never been looked at closely.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM")


def open_image(path: str | Path, content: bytes | None = None) -> Image.Image:
    """`PIL.Image.open` with its failures in words (CarvanaError); pixels are not decoded yet.

    Args:
        path: photo or mask.
        content: the file's bytes, if they were read already.

    Raises:
        CarvanaError: no such file, not an image, or one of more than MOST_PIXELS.
    """
    try:
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
        return image
    except CarvanaError:
        raise
    except FileNotFoundError:
        raise CarvanaError(f"no file {path}: check the path") from None
    except UnidentifiedImageError:
        raise CarvanaError(f"{path} is not an image, whatever its name says: replace or remove it") from None
    except Image.DecompressionBombError:
        raise CarvanaError(f"{path} has too many pixels to be a photo: replace or remove it") from None
    except Exception as error:
        # Damaged files make Pillow fail in many ways, not only with OSError.
        raise CarvanaError(f"{path} cannot be read ({_words(error)}): replace or remove it") from None


def _open(path: str | Path, content: bytes | None) -> Image.Image:
    return Image.open(path if content is None else io.BytesIO(content), formats=_FORMATS)


def load_pixels(path: str | Path, image: Image.Image) -> None:
    """Decode an opened image. Raises CarvanaError if it is damaged."""
    try:
        image.load()
    except Exception as error:
        raise CarvanaError(f"{path} is damaged ({_words(error)}): replace or remove it") from None


def _words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def displayed_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image as a viewer shows it, its EXIF turn applied."""
    turned = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
    return image.size[::-1] if turned else image.size


def read_photo(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Photo as uint8 RGB (height, width, 3), turned as its EXIF says.

    Args:
        path: JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF or PPM, in any colour mode.
        size: (width, height) to average down to; None keeps the photo's own.

    Raises:
        CarvanaError: not an image, truncated, or too big to be a photo.
    """
    with open_image(path) as image:
        try:
            if size is not None:
                # JPEG decodes at 1/2, 1/4 or 1/8 size for less work; the rest is averaged below.
                turned = displayed_size(image) != image.size
                image.draft("RGB", size[::-1] if turned else size)
            image = _to_rgb(ImageOps.exif_transpose(image))
        except Exception as error:
            raise CarvanaError(f"{path} is damaged ({_words(error)}): replace or remove it") from None
        return np.asarray(image if size is None else resize(image, size))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` at `size` = (width, height): averaged when it gets smaller, interpolated when larger."""
    # Averaging (BOX) twice is averaging once, so photos stored at half size look the same.
    smaller = size[0] <= image.width and size[1] <= image.height
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
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
        path: GIF or PNG whose pixels hold two values, 0 for background.
        size: (width, height) to average down to; None keeps the mask's own.
        photo_size: (width, height) the mask must have.
        content: the file's bytes, if they were read already.

    Raises:
        CarvanaError: not an image, truncated, not two-valued, or not `photo_size`.
    """
    with open_image(path, content) as image:
        if photo_size is not None and image.size != photo_size:
            here, there = ("{}x{}".format(*s) for s in (image.size, photo_size))
            raise CarvanaError(
                f"{path} is {here} but its photo is {there}: replace the mask by one of the photo's size"
            )
        try:
            # A palette is looked up once, not for each of two million pixels.
            pixels = image if image.mode == "P" else image.convert("L")
            used = [value for value, count in enumerate(pixels.histogram()) if count]
            values = _palette_greys(image, used) if image.mode == "P" else used
            pixels = np.asarray(pixels)
        except Exception as error:
            raise CarvanaError(f"{path} is damaged ({_words(error)}): replace or remove it") from None
    if len(set(values) | {0}) > 2:
        kind = "anti-aliased, " if len(values) > 3 else ""
        raise CarvanaError(
            f"{path} is {kind}not two-valued (grey levels {values[:4]}{'...' if len(values) > 4 else ''}): "
            "a mask holds 0 for background and one other value for car; threshold it"
        )
    is_car = np.zeros(256, dtype=bool)
    is_car[used] = np.array(values) > 0
    mask = is_car[pixels]
    if size is None:
        return mask
    return np.asarray(resize(Image.fromarray(mask.astype(np.uint8) * 255), size))


def _palette_greys(image: Image.Image, indices: list[int]) -> list[int]:
    """Grey level, 0 to 255, of each of a palette image's colours in `indices`."""
    few = Image.new("P", (len(indices), 1))
    few.putpalette(image.getpalette("RGB"))
    few.putdata(indices)
    return list(few.convert("L").tobytes())
