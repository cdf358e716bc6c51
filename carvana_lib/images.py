"""Read photos and masks from files, at their own size or averaged down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .base.errors import CarvanaError
from .base.image_files import _car_and_colours, _png_bits, _words, open_image, orientation


def read_photo(path: str | Path, size: tuple[int, int] | None = None, content: bytes | None = None) -> np.ndarray:
    """Photo as uint8 RGB (height, width, 3), turned as its EXIF says.

    Args:
        path: JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF or PPM, in any colour mode.
        size: (width, height) to average down to; None keeps the photo's own.
        content: the file's bytes, if they were read already; `path` then only names the photo in messages.

    Raises:
        CarvanaError: not an image, truncated, too big to be a photo, or of 32-bit greys.
    """
    with open_image(path, content) as image:
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
