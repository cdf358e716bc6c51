"""Open a picture file, or say in one line why not; find the two colours of a mask."""

from __future__ import annotations

import errno
import io
import os
import shlex
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import CarvanaError, reason
from .photo_formats import BEGINNINGS, EXAMINED, formats, unsupported

MOST_PIXELS = 100_000_000
MOST_BYTES = 200_000_000
_MOST_SCANS = 300  # of a progressive JPEG, which usually has ten; each scan passes over the whole picture
# What is wrong with a file is said by an error, or was mended.
warnings.filterwarnings("ignore", "Corrupt EXIF data|Truncated File Read|Metadata Warning", UserWarning, "PIL")
_WHITE_IS_ZERO = 0  # a TIFF's photometric interpretation
if Image.MAX_IMAGE_PIXELS:
    # Pillow warns of attacks at 89 megapixels. The limit above is stricter: it refuses.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MOST_PIXELS)


@contextmanager
def open_image(path: str | Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """An opened picture. Pillow decodes a JPEG later, when its pixels are needed.

    Args:
        content: the file's bytes, if they were read already; `path` then only names the picture in messages.

    Raises:
        CarvanaError: no such file, not an image, of a format that is not read, damaged, or more than MOST_PIXELS or
            MOST_BYTES. Any other error in the `with` block becomes one too, except a MemoryError, which is not the
            file's fault.
    """
    content = read_file(path) if content is None else content
    try:
        with _open(path, content) as image:
            yield image
    except (CarvanaError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise CarvanaError(f"{path} has too many pixels to be a photo: replace or remove it") from None
    except Exception as error:
        # Damaged files make Pillow fail in many ways, not only with OSError.
        if "truncated" not in str(error) and (line := unsupported(path, content)):
            raise CarvanaError(line) from None
        if content.startswith(BEGINNINGS) and isinstance(error, UnidentifiedImageError):
            raise CarvanaError(
                f"{path} is damaged (only its beginning is a picture's): copy it again, or remove it"
            ) from None
        if isinstance(error, UnidentifiedImageError) and formats(content) == EXAMINED:
            raise CarvanaError(f"{path} is not an image, whatever its name says: replace or remove it") from None
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
    image = Image.open(io.BytesIO(content), formats=formats(content))
    if image.width * image.height > MOST_PIXELS:
        size = f"{image.width * image.height / 1e6:.0f} megapixels, more than {MOST_PIXELS // 1_000_000}"
        raise CarvanaError(f"{path} has {size}: make it smaller first")
    if image.format == "PNG":
        # Pillow decodes a PNG in spite of wrong checksums. `verify` checks them and leaves the image unusable.
        image.verify()
        image = Image.open(io.BytesIO(content), formats=("PNG",))
        # Decode now: the EXIF note may follow the pixels, and `orientation` passes over all failures.
        image.load()
        _note_bits(image, content[24])
    elif image.format == "TIFF":
        # Pillow turns a TIFF when it decodes it, and then forgets the note.
        image.info |= {"turn": orientation(image), "photometric": image.tag_v2.get(262)}
        image.info["bits"] = max(image.tag_v2.get(258, (1,)))
        image.load()
    # The third byte of a scan's header is 0, because the header is short.
    if image.info.get("progressive") and (scans := content.count(b"\xff\xda\x00")) > _MOST_SCANS:
        raise CarvanaError(f"{path} consists of {scans} scans: save it as a plain JPEG")
    return image


def _note_bits(image: Image.Image, bits: int) -> None:
    """Keep how many bits a value of a PNG has: Pillow reads 16-bit colours as 8-bit ones and does not say so."""
    image.info["bits"] = bits
    hidden = image.info.get("transparency")
    # Pillow leaves the transparent colour as the file has it, although it made the pixels 8-bit.
    if image.mode == "L" and bits < 8 and hidden is not None:
        image.info["transparency"] = hidden * 255 // (2**bits - 1)
    elif image.mode == "RGB" and bits == 16 and hidden is not None:
        image.info["transparency"] = tuple(value >> 8 for value in hidden)


def orientation(image: Image.Image) -> int:
    """How the EXIF note of an image file says to turn it: 2 to 8, or 1 (upright) if it says nothing sensible."""
    try:
        turn = image.info.get("turn") or image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        # Damaged notes make Pillow fail in many ways. Viewers show such photos as they are stored.
        return 1
    return turn if turn in range(2, 9) else 1


def displayed_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image as a viewer shows it, with its EXIF turn applied."""
    return image.size[::-1] if orientation(image) >= 5 and image.format != "TIFF" else image.size


def upright(image: Image.Image) -> Image.Image:
    """An opened image, turned as its EXIF note says."""
    return image if orientation(image) == 1 else ImageOps.exif_transpose(image)


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` at `size` = (width, height): averaged when it gets smaller, interpolated when it gets larger."""
    # Averaging (BOX) twice is averaging once, so photos that are stored at half size look the same.
    smaller = size[0] <= image.width and size[1] <= image.height
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR)


def check_turn(image: Image.Image, photo: str | Path, mask: str | Path) -> None:
    """CarvanaError if only the photo has an EXIF turn, and the mask's size cannot show on which of both it was drawn.

    `image` is the opened `photo`. Upside down or mirrored it keeps its size, and so does a square one on its side.
    """
    turn = orientation(image)
    if turn in (2, 3, 4) or (turn != 1 and image.width == image.height):
        with open_image(mask) as opened:
            if orientation(opened) != 1:
                return
        why = f"is turned by its EXIF note (orientation {turn}), and its mask may be drawn on the turned photo or not"
        cure = f"turn its pixels (magick mogrify -auto-orient {shlex.quote(str(photo))}), check that the mask fits"
        raise CarvanaError(f"{photo} {why}: {cure}")


def to_rgb(image: Image.Image, path: str | Path) -> Image.Image:
    """A photo of any colour mode as 8-bit RGB: 16-bit greys as `_grey_levels` says, transparent parts laid on white.

    Raises CarvanaError for 32-bit greys, for 16-bit colours that use few of their bits, and if nothing is visible.
    """
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise CarvanaError(f"{path} has 32-bit greys, and no rule says which is white: save it as 8-bit PNG")
    if image.mode.startswith("I"):
        return Image.fromarray(_grey_levels(image)).convert("RGB")
    image.load()
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if image.info.get("bits") == 16 and max(high for _, high in rgb.getextrema()) < 64:
        # Pillow read the upper 8 bits only: the others are lost.
        raise CarvanaError(
            f"{path} has 16-bit colours that use 14 bits or fewer, so it is nearly black: save it as 8-bit"
        )
    if not image.has_transparency_data:
        return rgb
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (0, 0):
        raise CarvanaError(f"{path} is transparent everywhere: save it without transparency")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _grey_levels(image: Image.Image) -> np.ndarray:
    """16-bit greys as uint8 (height, width), with the levels that a viewer would choose.

    Many cameras and microscopes use only 10, 12 or 14 of the 16 bits. If 99.9 % of the pixels are below half of the
    range, the darkest 0.1 % become 0, the brightest 0.1 % become 255, and the greys between them lie evenly.
    """
    greys = np.asarray(image)
    low, high = np.percentile(greys, (0.1, 99.9), method="nearest").astype(int)
    if high >= 2**15:
        low, high = 0, 65_535
    table = np.clip((np.arange(2**16) - low) * 256 // (high - low + 1), 0, 255).astype(np.uint8)
    if image.info.get("photometric") == _WHITE_IS_ZERO:
        table = 255 - table  # Pillow does so for 8 bits, but not for 16
    hidden = image.info.get("transparency")
    if hidden is not None:
        table[hidden] = 255
    return table[greys]


def two_colours(image: Image.Image, path: str | Path) -> np.ndarray:
    """Where a mask is not black: bool (height, width).

    Raises CarvanaError for more than 8 bits a value, an alpha channel that hides parts, or a second colour.
    """
    if image.mode[0] in "IF" or image.info.get("bits") == 16:
        # Soft edges of 16 bits would be cut off at 255, and all of them taken for car.
        raise CarvanaError(f"{path} has more than 8 bits a pixel: threshold it and save it as 8-bit PNG or GIF")
    if "A" in image.getbands() and image.getchannel("A").getextrema() != (255, 255):
        raise CarvanaError(f"{path} is transparent in places: save it in black and white, without transparency")
    is_car, colours = _by_colour(image)
    if not colours or len(colours - {(0, 0, 0)}) > 1:
        names = [str(rgb[0]) if len(set(rgb)) == 1 else f"#{bytes(rgb).hex()}" for rgb in sorted(colours)]
        values = ", ".join(names[:4] + ["..."] * (len(names) > 4))
        listed = f"its values are {values}" if names else "it has hundreds of colours"
        kind = "not two-valued" if 0 < len(names) < 4 else "anti-aliased, not two-valued"
        rule = "a mask holds 0 for background and one other value for car"
        cure = "threshold it, or name several classes in dataset.toml"
        raise CarvanaError(f"{path} is {kind} ({listed}): {rule}; {cure}")
    return is_car


def not_zero(image: Image.Image) -> np.ndarray:
    """Where a mask's value, of its palette too, is not 0, or its colour not black: bool (height, width)."""
    pixels = np.asarray(image)
    return pixels != 0 if pixels.ndim == 2 else pixels[..., :3].any(axis=2)


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
