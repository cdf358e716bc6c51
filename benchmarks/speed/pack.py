"""Pack the photos for a machine with a GPU, into files of under 60 MB each.

    python -m benchmarks.speed.pack --data ROOT --out build/packs

Photos are stored as WebP and masks as PNG, at 959x640, the size that the preset `small` sees. Validation masks are
stored at their own size too, because scores are computed there. The packs contain Carvana's photos: do not commit or
publish them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from carvana_lib.data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, Pair, find_data, list_pairs
from carvana_lib.images import read_mask, read_pair, resize

from ..common import ROOT, command_line

SIZE = (959, 640)


class Packs:
    """Photos and masks of all packs in a folder, decoded when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, tuple[bytes, ...]] = {}  # of each photo: photo, mask, and the mask at its own size or b""
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as pack:
                parts = (split_bytes(pack, kind) for kind in ("photos", "masks", "native"))
                self.files |= dict(zip(pack["names"].tolist(), zip(*parts, strict=True), strict=True))
        if not self.files:
            raise SystemExit(f"{folder} holds no packs: make them with `python -m benchmarks.speed.pack`")

    def pairs(self, folds: Sequence[int]) -> list[Pair]:
        """As `list_pairs`, but there are no files."""
        found = [Pair(name, Path(name), Path(name)) for name in sorted(self.files)]
        return [pair for pair in found if pair.fold in folds]

    def dataset(self, pairs: Sequence[Pair], size: tuple[int, int]) -> PackedDataset:
        """Photos and soft masks of `pairs` in memory, made smaller to `size`."""
        files = [self.files[pair.name] for pair in pairs]
        with ThreadPoolExecutor() as pool:
            images, masks, _ = zip(*files, strict=True)
            arrays = tuple(np.stack(list(pool.map(partial(decode, size=size), part))) for part in (images, masks))
        dataset = PackedDataset(pairs, size, arrays)
        dataset.native = [native for _, _, native in files]
        return dataset


class PackedDataset(CarvanaDataset):
    """Masks at their own size are decoded when they are needed."""

    native: list[bytes]

    def native_mask(self, index: int) -> np.ndarray:
        if not self.native[index]:
            raise ValueError(f"{self.pairs[index].name} was packed without a mask at its own size")
        return np.array(Image.open(io.BytesIO(self.native[index])))


def decode(file: bytes, size: tuple[int, int]) -> np.ndarray:
    image = Image.open(io.BytesIO(file))
    image.load()
    return np.asarray(image if image.size == size else resize(image, size))


def split_bytes(pack: np.lib.npyio.NpzFile, name: str) -> list[bytes]:
    data, ends = pack[name].tobytes(), pack[f"{name}_ends"].tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def join_bytes(name: str, files: Sequence[bytes]) -> dict[str, np.ndarray]:
    joined = np.frombuffer(b"".join(files), dtype=np.uint8)
    return {name: joined, f"{name}_ends": np.cumsum([len(file) for file in files])}


def encode(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def pack_pair(pair: Pair, quality: int) -> tuple[bytes, bytes, bytes]:
    photo, mask = read_pair(pair.photo, pair.mask, SIZE)
    native = encode(read_mask(pair.mask), "PNG", optimize=True) if pair.fold == VALIDATION_FOLD else b""
    return encode(photo, "WEBP", quality=quality), encode(mask, "PNG", optimize=True), native


def write_packs(pairs: Sequence[Pair], out: Path, pack_one: Callable[[Pair], tuple[bytes, ...]], limit: float) -> int:
    """Write packs of at most `limit` bytes, and return how many."""
    out.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    files: list[tuple[bytes, ...]] = []
    packs = size = 0

    def write() -> None:
        parts = {"names": np.array(names)}
        for kind, column in zip(("photos", "masks", "native"), zip(*files, strict=True), strict=True):
            parts |= join_bytes(kind, column)
        np.savez(out / f"pack_{packs}.npz", **parts)

    with ThreadPoolExecutor() as pool:
        for pair, packed in zip(
            pairs, tqdm(pool.map(pack_one, pairs), "Packing", len(pairs), unit="photo"), strict=True
        ):
            # 200 bytes: the photo's name and the places where its files end.
            new = sum(map(len, packed)) + 200
            if size + new > limit:
                write()
                packs, size, names, files = packs + 1, 0, [], []
            names.append(pair.name)
            files.append(packed)
            size += new
    write()
    return packs + 1


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "packs")
    parser.add_argument("--quality", type=int, default=68, help="of the WebP files")
    parser.add_argument("--limit", type=float, default=60, help="megabytes of a pack")
    options = parser.parse_args()
    pairs = list_pairs(find_data(options.data), [VALIDATION_FOLD, *TRAINING_FOLDS])
    packs = write_packs(pairs, options.out, partial(pack_pair, quality=options.quality), options.limit * 1e6)
    print(f"{options.out}: {packs} packs, {len(pairs)} photos")


if __name__ == "__main__":
    main()
