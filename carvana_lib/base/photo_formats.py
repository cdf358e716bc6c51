"""Photo formats that Pillow alone does not read: which one a file is, told by its first bytes, and what to do."""

from __future__ import annotations

import shlex
from pathlib import Path

from PIL import features

# Pillow knows forty formats. Some of them start other programs, and some were never examined closely.
EXAMINED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM")
# The first bytes of the most usual of them.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_BEGINNINGS = {
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}


def formats(content: bytes) -> tuple[str, ...]:
    """The names of the formats that `Image.open` may try; HEIC is one of them if pillow-heif is installed."""
    if _family(content) == "HEIC" and _can_read_heic():
        return ("HEIF",)
    return EXAMINED


def unsupported(path: str | Path, content: bytes) -> str | None:
    """One line for a whole photo of a format that cannot be read here; None for any other file."""
    family, jpeg = _family(content), _jpeg_kind(content)
    png = shlex.quote(str(Path(path).with_suffix(".png")))
    convert = f"convert it (magick {shlex.quote(str(path))} {png})"
    if family == "HEIC" and not _can_read_heic():
        return f"{path} is a HEIC photo: install pillow-heif (pip install pillow-heif), or {convert}"
    if family in ("JPEG 2000", "JPEG XL") or (family == "AVIF" and not features.check("avif")):
        return f"{path} is {'an' if family == 'AVIF' else 'a'} {family} photo, which is not read here: {convert}"
    if jpeg:
        decode = f"djpeg {shlex.quote(str(path))} | magick - {png}"
        return f"{path} is {jpeg}, which cannot be decoded here: save it as an 8-bit JPEG or PNG ({decode})"
    return None


def _family(content: bytes) -> str | None:
    """HEIC, AVIF, JPEG 2000 or JPEG XL; None for anything else."""
    if content[4:8] == b"ftyp":
        end = min(int.from_bytes(content[:4]), 256)
        brands = {content[8:12], *(content[start : start + 4] for start in range(16, end, 4))}
        # An AVIF file may also name the brand mif1, which stands for any of the family.
        return "AVIF" if brands & {b"avif", b"avis"} else "HEIC" if brands & _HEIC else None
    return next((family for start, family in _BEGINNINGS.items() if content.startswith(start)), None)


def _can_read_heic() -> bool:
    """Whether pillow-heif is installed; from then on Pillow reads HEIC too."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _jpeg_kind(content: bytes) -> str | None:
    """What is unusual about a JPEG, from the header of its frame; None for usual JPEGs and for other files."""
    if content[:4] == b"\xff\xd8\xff\xf7":
        return "a JPEG-LS photo"
    place = 2
    while content[:2] == b"\xff\xd8" and content[place : place + 1] == b"\xff" and place + 5 <= len(content):
        marker, precision = content[place + 1], content[place + 4]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if precision != 8:
                return f"a {precision}-bit JPEG"
            if marker & 3 == 3:
                return "a lossless JPEG"
            return "a JPEG with arithmetic coding" if marker > 0xC8 else None
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    return None
