"""Find the photos, pair them with their masks, split them by car; `CarvanaDataset`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from .base.classes import Classes
from .base.data_folder import FOLD_RULE, HOW_TO_GET_DATA, KAGGLE_INPUT, several, why_unusable
from .base.described import find_pairs
from .base.errors import CarvanaError
from .base.files import expanded
from .images import read_labels, read_mask, read_pair

TEST_FOLD = 0
VALIDATION_FOLD = 1
TRAINING_FOLDS = tuple(range(2, 10))
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"  # the rendered cars, in a checkout


@dataclass(frozen=True)
class Pair:
    """One photo and its mask. In Carvana's data `name` is `<car>_<view>`, as in Kaggle's files."""

    name: str
    photo: Path
    mask: Path
    group: str = ""  # in other data: what is never split, in the place of a car
    group_fold: int = 0  # its fold
    any_value: bool = False  # any value of the mask but 0 is what is looked for
    classes: Classes | None = None  # where there are several

    @property
    def car(self) -> str:
        return self.group or self.name[:12]

    @property
    def view(self) -> int:
        return 0 if self.group else int(self.name[13:15])

    @property
    def fold(self) -> int:
        return self.group_fold if self.group else car_fold(self.car)

    def read_mask(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """As `images.read_mask`; of several classes as `read_labels`."""
        if self.classes:
            return read_labels(self.mask, self.classes, size)
        return read_mask(self.mask, size, any_value=self.any_value)


def car_fold(car: str) -> int:
    """Fold 0..9 of a car. It depends on the car alone, so adding cars never moves one."""
    return int(car, 16) % 10


def find_data(root: str | Path | None = None, quiet: bool = False) -> Path:
    """Folder that holds the photos; prints one line that says which, and how much is in it.

    The places, in this order: `root`, `$CARVANA_DATA`, Kaggle's input folders, `data/carvana`, `data/sample`.
    If one of the first two is named, no other is tried. Kaggle's folders are passed over if they hold zips only; the
    line then says how to use them. `quiet` leaves the line out where it would only name the rendered sample. Raises
    CarvanaError if the folder is unusable, or if none exists.
    """
    packed = {}
    if root is not None:
        found, why = expanded(root), "as asked"
    elif os.environ.get("CARVANA_DATA"):
        found, why = expanded(os.environ["CARVANA_DATA"]), "from $CARVANA_DATA"
    else:
        here = Path(__file__).resolve().parent.parent
        kaggle = [KAGGLE_INPUT, KAGGLE_INPUT.parent / "competitions" / KAGGLE_INPUT.name]
        packed = {place: fault for place in kaggle if place.is_dir() and (fault := why_unusable(place))}
        places = [*kaggle, *(base / "data" / kind for kind in ("carvana", "sample") for base in (Path(), here))]
        found, why = next((place for place in places if place.is_dir() and place not in packed), None), "found here"
    hints = [f"Not used: {fault}" for fault in packed.values() if found is None or found.name == "sample"]
    if found is None:
        raise CarvanaError(f"no Carvana data found: {'; '.join(hints) or HOW_TO_GET_DATA}")
    pairs = list_pairs(found)
    if not quiet or hints or found.resolve() != SAMPLE:
        kind = "groups" if pairs[0].group else "cars"
        taken = f"Data: {found} ({why}): {len({pair.car for pair in pairs})} {kind}, {len(pairs)} photos"
        print(". ".join([taken, *hints]), file=sys.stderr)
    return found


def held_out_fold(root: str | Path | Sequence[str | Path]) -> int:
    """The fold for the final test; in data without such cars the validation fold, and one line says so."""
    if any(pair.fold == TEST_FOLD for pair in list_pairs(root)):
        return TEST_FOLD
    instead = f"the validation cars (fold {VALIDATION_FOLD}) take their place"
    print(f"No cars for the final test (fold {TEST_FOLD}) in these data: {instead}.", file=sys.stderr)
    return VALIDATION_FOLD


def list_pairs(
    root: str | Path | Sequence[str | Path], folds: Iterable[int] | None = None, cars: int | None = None
) -> list[Pair]:
    """Every photo of a folder, or of several, with its mask, sorted by name. `base.described` says which folders.

    Only the cars of `folds`, and of each fold only the first `cars`, if given. File names are read, files are not
    opened: `read_photo` and `read_mask` find broken ones. Raises CarvanaError: no folder, no photos, a wrong name, a
    photo without a mask, a car in two folders, or no cars of `folds`.
    """
    pairs: list[Pair] = []
    folders = [root] if isinstance(root, str | Path) else root
    for folder in folders:
        found, faults = find_pairs(expanded(folder))
        if faults:
            raise CarvanaError(several(faults))
        # Scores and their rows go by the photo's name, so names must differ too.
        known, new = {word for pair in pairs for word in (pair.car, pair.name)}, [Pair(*files) for files in found]
        if twice := next((pair for pair in new if {pair.car, pair.name} & known), None):
            what = "has a name or a group" if twice.group else "shows a car"
            raise CarvanaError(f"{twice.photo} {what} that another data folder has too: use only one of them")
        pairs += new
        if len({pair.classes and pair.classes.names for pair in pairs}) > 1:
            raise CarvanaError(f"{folder} has other classes than {pairs[0].photo}: use one of the two data folders")
    wanted = set(range(10) if folds is None else folds)
    chosen = [pair for pair in pairs if pair.fold in wanted]
    if not chosen:
        there = sorted({pair.fold for pair in pairs})
        where = " and ".join(map(str, folders))
        what = f"{where} holds no cars of fold {sorted(wanted)}, only of {there}"
        raise CarvanaError(f"{what}: {FOLD_RULE}; add such cars, or use another folder as well (data/sample has all)")
    names = [sorted({pair.car for pair in chosen if pair.fold == fold})[:cars] for fold in range(10)]
    return [pair for pair in chosen if pair.car in names[pair.fold]]


@dataclass(eq=False, repr=False)
class CarvanaDataset(Dataset):
    """Photos and soft masks at one size, from a GPU's memory (after `keep_on`), else `arrays`, else their files.

    `dataset[i]` is `(image, mask)`: uint8 (3, H, W) and float32 (1, H, W) in [0, 1], or of several classes (C, H, W).
    `dataset.batch(indices)` is the same for many photos, but its masks are uint8 in 0..255: bytes stay small until they
    are on the device.
    """

    pairs: Sequence[Pair]  # what `list_pairs` gave
    size: tuple[int, int] = (240, 160)  # (width, height) in pixels
    arrays: tuple[np.ndarray, np.ndarray] | None = None  # decoded images (N, H, W, 3), masks (N, H, W) or (N, C, H, W)
    _kept: list[torch.Tensor] | None = field(default=None, init=False)  # `arrays` in a GPU's memory
    # After `keep_masks`, every mask at its own size and its width. Of two classes, a byte holds eight pixels.
    _kept_masks: list[tuple[torch.Tensor, int]] | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names where there are several, as for `TrainConfig.classes`; empty for two, told apart by one logit."""
        return self.pairs[0].classes.names if self.pairs and self.pairs[0].classes else ()

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, masks = self.batch([range(len(self))[index]])
        return images[0], masks[0].float() / 255

    def batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 images (B, 3, H, W), channels last in memory, and masks (B, 1 or C, H, W). No indices: ValueError."""
        indices = list(indices)
        if not indices:
            raise ValueError("no photos asked for: give at least one index")
        if self._kept is not None:
            # Without `non_blocking` the GPU would first have to finish all its work.
            where = torch.as_tensor(indices).to(self._kept[0].device, non_blocking=True)
            images, masks = (part[where] for part in self._kept)
        elif self.arrays is not None:
            images, masks = (torch.from_numpy(part[indices]) for part in self.arrays)
        else:
            pairs = [self.pairs[i] for i in indices]
            decoded = [read_pair(pair.photo, pair.mask, self.size, pair.any_value, pair.classes) for pair in pairs]
            images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*decoded, strict=True))
        return images.permute(0, 3, 1, 2), masks if masks.ndim == 4 else masks[:, None]

    def keep_on(self, device: torch.device, free: int | None = None) -> bool:
        """Copy `arrays` to a GPU if they take at most half of its free memory; returns whether batches come from there.

        `free` is in bytes: None asks the device, and is 0 on anything but CUDA.
        """
        if free is None:
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        if self.arrays is None or 2 * sum(array.nbytes for array in self.arrays) > free:
            return False
        kept = [torch.empty(array.shape, dtype=torch.uint8, device=device) for array in self.arrays]
        for tensor, array in zip(kept, self.arrays, strict=True):
            # In parts, so that the host needs no second copy of everything.
            for start in range(0, len(self), 256):
                tensor[start : start + 256] = torch.from_numpy(array[start : start + 256].copy())
        self._kept = kept
        return True

    def masks(self) -> np.ndarray:
        """All soft masks, uint8 (N, H, W) or (N, C, H, W) in 0..255."""
        if self.arrays is not None:
            return self.arrays[1]
        return np.stack([pair.read_mask(self.size) for pair in self.pairs])

    def native_mask(self, index: int) -> np.ndarray:
        """The mask as it is on disk: bool (height, width); of several classes, numbers as from `read_labels`."""
        return self.pairs[index].read_mask()

    def keep_masks(self, device: torch.device) -> None:
        """Keep every mask at its own size on `device`: 0.3 MB each, as a byte holds eight pixels; numbers take 2.5."""
        with ThreadPoolExecutor() as pool:
            masks = pool.map(self.native_mask, range(len(self)))
            packed = ((np.packbits(m, axis=1) if m.dtype == bool else m, m.shape[1]) for m in masks)
            self._kept_masks = [(torch.from_numpy(mask).to(device), width) for mask, width in packed]

    def native_masks_on(self, indices: Sequence[int], device: torch.device) -> list[torch.Tensor]:
        """`native_mask` of each on `device`. After `keep_masks` no file is read."""
        if self._kept_masks is None:
            return [torch.from_numpy(self.native_mask(index)).to(device) for index in indices]
        kept = [self._kept_masks[index] for index in indices]
        if self.classes:
            return [labels.to(device) for labels, _ in kept]
        places = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
        return [(packed.to(device)[..., None] >> places & 1).flatten(1)[:, :width].bool() for packed, width in kept]
