"""Kaggle's submission file: every mask as run lengths.

Pixels are numbered from 1, row by row from the top left. The text of a mask gives the first pixel and the length of
each run of car pixels: `"3 2 9 1"` means the pixels 3, 4 and 9.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..base.arrays import check_mask
from ..base.errors import CarvanaError
from ..base.files import write_atomically

COLUMNS = ("img", "rle_mask")
MOST_PIXELS = 500_000_000  # that `read_submission` holds in memory, one byte each
_MOST_BLANK = 1000  # rows in a line; of a file without an end, no more are read


def rle_encode(mask: np.ndarray) -> str:
    """Run lengths of a mask, bool (height, width); "" for an empty mask. Any other array is a ValueError."""
    check_mask(mask)
    edges = np.flatnonzero(np.diff(mask.ravel().astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def rle_decode(text: str, height: int, width: int) -> np.ndarray:
    """The mask, bool (height, width), of a text that `rle_encode` wrote.

    A text that is not pairs of whole numbers, runs that overlap or are out of order, and pixels outside the picture
    raise a CarvanaError.
    """
    # A mask has at most one run for each pixel. Of a longer text, the end stays one word, which is not a number: it is
    # refused before it takes much memory.
    numbers = []
    for word in text.split(maxsplit=2 * height * width):
        # int() would also accept "1_0", "+1" and the digits of other scripts.
        if not (word.isascii() and word.isdigit() and len(word) < 100):
            raise CarvanaError(f"run lengths hold {word[:20]!r}, which is not a whole number: write them again")
        numbers.append(int(word))
    if len(numbers) % 2:
        raise CarvanaError(f"run lengths hold {len(numbers)} numbers, not pairs of first pixel and length")
    mask = np.zeros(height * width, dtype=bool)
    free = 1  # the first pixel after the run before
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        if length < 1 or start < free or start + length - 1 > mask.size:
            raise CarvanaError(
                f"the run '{start} {length}' overlaps the one before or leaves the {width}x{height} picture: "
                "check the picture's size and the order of the runs"
            )
        mask[start - 1 : start - 1 + length] = True
        free = start + length
    return mask.reshape(height, width)


def write_submission(path: str | Path, masks: Iterable[tuple[str, np.ndarray]]) -> int:
    """Write Kaggle's CSV, one row for each photo, with one mask in memory at a time; returns the number of rows.

    `masks` gives each photo's file name (`<car>_<view>.jpg`) and its mask, bool (height, width), at the photo's own
    size. Anything else raises a ValueError that names the photo, and no file is written.
    """

    def rows() -> Iterator[tuple[str, str]]:
        for name, mask in masks:
            try:
                yield name, rle_encode(mask)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    return write_rows(path, rows())


def write_rows(
    path: str | Path, rows: Iterable[tuple[str, str]], cure: str = "free some space or name another place"
) -> int:
    """As `write_submission`, for masks that are encoded already: file name and run lengths. `cure`: of a full disk."""
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in rows:
                writer.writerow(row)
                count += 1

    write_atomically(path, write, cure=cure)
    return count


def read_submission(path: str | Path, height: int, width: int) -> dict[str, np.ndarray]:
    """The masks of a submission by file name, each bool (height, width).

    A byte order mark, blank rows and spaces after a comma, as spreadsheets write them, change nothing.

    Raises:
        CarvanaError: no such file, other columns, a photo twice, a row that is not a mask, or more than `MOST_PIXELS`.
    """
    # The csv module refuses fields of over 131,072 characters by default. A ragged mask can take more: at worst it has
    # a run for every second pixel.
    usual_limit = csv.field_size_limit(max(131_072, 10 * height * width))
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return _read_rows(path, csv.reader(file, skipinitialspace=True), height, width)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CarvanaError(f"{path} cannot be read as CSV ({error}): check the path") from None
    finally:
        csv.field_size_limit(usual_limit)


def _read_rows(path: str | Path, rows: Iterator[list[str]], height: int, width: int) -> dict[str, np.ndarray]:
    """The masks of all rows, read one by one: a file that is refused was never in memory as a whole."""
    masks: dict[str, np.ndarray] = {}
    not_a_submission = CarvanaError(f"{path} is not a submission: its columns must be {', '.join(COLUMNS)}")
    rows = _filled(path, rows)
    if list(map(str.strip, next(rows, []))) != list(COLUMNS):
        raise not_a_submission
    for row in rows:
        if len(row) != len(COLUMNS):
            raise not_a_submission
        name, text = row
        if name in masks:
            raise CarvanaError(f"{path} holds {name} twice: remove one of the rows")
        if (len(masks) + 1) * height * width > MOST_PIXELS:
            too_many = f"{path} holds more than {len(masks)} masks, too many for memory"
            raise CarvanaError(f"{too_many}: read row by row with rle_decode")
        masks[name] = rle_decode(text, height, width)
    return masks


def _filled(path: str | Path, rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows that are not blank."""
    blank = 0
    for row in rows:
        blank = 0 if any(map(str.strip, row)) else blank + 1
        if blank > _MOST_BLANK:
            raise CarvanaError(f"{path} is not a submission: it has more than {_MOST_BLANK} blank rows in a line")
        if not blank:
            yield row
