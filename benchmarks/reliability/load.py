"""Large data folders: seconds to list and split 50,000 pairs, and to check 5,000 pairs of full size.

    python -m benchmarks.reliability.load [--names 50000] [--pairs 5000] [--json FILE]

Listing opens no file, so the 50,000 files are empty. The 5,000 pairs are 16 rendered photos, enlarged to Carvana's
1918x1280. The number of the pair is drawn into each copy, so that no two are equal. They need a gigabyte of disk.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from torch import nn

from carvana_lib.data import TEST_FOLD, TRAINING_FOLDS, VALIDATION_FOLD, list_pairs
from carvana_lib.prepare.doctor import examine
from carvana_lib.run.weights import load_pretrained

from ..common import SAMPLE, command_line, write

SIZE = (1918, 1280)


def main() -> None:
    parser = command_line(__doc__, "load.json")
    parser.add_argument("--names", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=5_000)
    options = parser.parse_args()
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "names"
        write_all(root, options.names, lambda number: (b"", b""))
        results["split"] = {"names": options.names, **timed(lambda: split(root))}
        print(json.dumps(results["split"]), flush=True)
        root = Path(scratch) / "pairs"
        pictures = [enlarged(number) for number in range(16)]
        write_all(root, options.pairs, lambda number: numbered(pictures[number % 16], number))
        model, config = load_pretrained("small")
        results["doctor"] = {"pairs": options.pairs, **timed(lambda: check(root, (model, config.size)))}
        print(json.dumps(results["doctor"]), flush=True)
    write(options.json, results)


def split(root: Path) -> list[str]:
    """Split into test, validation and training pairs; returns the cars that are in two of the parts."""
    parts = [list_pairs(root, folds) for folds in ([TEST_FOLD], [VALIDATION_FOLD], TRAINING_FOLDS)]
    cars = [{pair.car for pair in part} for part in parts]
    return sorted(cars[0] & cars[1] | cars[0] & cars[2] | cars[1] & cars[2])


def check(root: Path, net: tuple[nn.Module, tuple[int, int]]) -> list[str]:
    """Faults and suspicions, as `carvana check-data` finds them."""
    findings = examine(root, net, progress=False)
    return findings.faults + findings.suspicions


def timed(work: Callable[[], list[str]]) -> dict[str, float]:
    """Seconds of `work`, and the number of faults that it returned."""
    wall, processor = time.perf_counter(), time.process_time()
    faults = work()
    return {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "faults": len(faults),
    }


def write_all(root: Path, count: int, content: Callable[[int], tuple[bytes, bytes]]) -> None:
    """Write `count` pairs of files, sixteen views a car. `content` returns the bytes of photo and mask."""
    for folder in ("train", "train_masks"):
        (root / folder).mkdir(parents=True)

    def write(number: int) -> None:
        name = f"{number // 16:012x}_{number % 16 + 1:02d}"
        photo, mask = content(number)
        (root / "train" / f"{name}.jpg").write_bytes(photo)
        (root / "train_masks" / f"{name}_mask.gif").write_bytes(mask)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(count)))


def enlarged(number: int) -> tuple[Image.Image, Image.Image]:
    """A photo and a mask of the sample, enlarged to full size."""
    pair = list_pairs(SAMPLE)[number * 7]
    return Image.open(pair.photo).resize(SIZE), Image.open(pair.mask).convert("1").resize(SIZE)


def numbered(pair: tuple[Image.Image, Image.Image], number: int) -> tuple[bytes, bytes]:
    """JPEG and GIF of a pair. Squares in the top rows show the bits of `number`."""
    contents = []
    for picture, form, colour in zip(pair, ("JPEG", "GIF"), ("red", 1), strict=True):
        picture, content = picture.copy(), io.BytesIO()
        for bit in range(13):
            if number >> bit & 1:
                picture.paste(colour, (32 * bit + 8, 8, 32 * bit + 24, 24))
        picture.save(content, form, quality=80)
        contents.append(content.getvalue())
    return contents[0], contents[1]


if __name__ == "__main__":
    main()
