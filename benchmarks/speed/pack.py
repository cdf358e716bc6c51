"""Put small photos (JPEG) and masks (PNG) into one file, to carry them to a machine without the data.

    python -m benchmarks.speed.pack --data ROOT --out build/carvana_pack.npz

Photos and masks are stored at the net's size. Validation masks are also stored at their own size, because scores are
computed there. The file contains Carvana's photos: do not commit or publish it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from carvana_lib.data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, Pair, find_data, list_pairs
from carvana_lib.images import read_mask, read_pair

from ..common import ROOT, SIZE, command_line

LIMIT = 60e6


class PackedDataset(CarvanaDataset):
    """Photos and masks of a pack, decoded into memory. Masks at their own size are decoded when they are needed."""

    def __init__(self, pack: np.lib.npyio.NpzFile, split: str) -> None:
        names = pack[f"{split}_names"].tolist()
        arrays = tuple(
            np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in split_bytes(pack, f"{split}_{kind}")])
            for kind in ("images", "masks")
        )
        height, width = arrays[1].shape[1:]
        super().__init__([Pair(name, Path(name), Path(name)) for name in names], (width, height), arrays)
        self.native = split_bytes(pack, f"{split}_native") if f"{split}_native" in pack else []

    def native_mask(self, index: int) -> np.ndarray:
        return np.array(Image.open(io.BytesIO(self.native[index])))


def split_bytes(pack: np.lib.npyio.NpzFile, name: str) -> list[bytes]:
    data, ends = pack[name].tobytes(), pack[f"{name}_ends"].tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def join_bytes(name: str, files: Sequence[bytes]) -> dict[str, np.ndarray]:
    joined = np.frombuffer(b"".join(files), dtype=np.uint8)
    return {name: joined, f"{name}_ends": np.cumsum([len(file) for file in files])}


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_pack(root: Path, out: Path, size: tuple[int, int], quality: int) -> int:
    """Write the pack, and return its size in bytes."""
    parts: dict[str, np.ndarray] = {}
    for split, folds in (("train", TRAINING_FOLDS), ("validation", [VALIDATION_FOLD])):
        images, masks, native = [], [], []
        pairs = list_pairs(root, folds)
        for pair in tqdm(pairs, f"Packing {split}", unit="photo"):
            photo, mask = read_pair(pair.photo, pair.mask, size)
            images.append(encode(Image.fromarray(photo), "JPEG", quality=quality))
            masks.append(encode(Image.fromarray(mask), "PNG", optimize=True))
            if split == "validation":
                native.append(encode(Image.fromarray(read_mask(pair.mask)), "PNG", optimize=True))
        parts |= {f"{split}_names": np.array([pair.name for pair in pairs])}
        parts |= join_bytes(f"{split}_images", images) | join_bytes(f"{split}_masks", masks)
        if native:
            parts |= join_bytes(f"{split}_native", native)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "wb") as file:  # given a name, savez would add .npz to it
        np.savez(file, **parts)
    return out.stat().st_size


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "carvana_pack.npz")
    parser.add_argument("--quality", type=int, default=85, help="of the JPEGs")
    options = parser.parse_args()
    written = write_pack(find_data(options.data), options.out, SIZE, options.quality)
    if written > LIMIT:
        raise SystemExit(f"{options.out} has {written / 1e6:.0f} MB, more than {LIMIT / 1e6:.0f}: lower --quality")
    print(f"{options.out}: {written / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
