"""What a net of several classes must beat: predictions that never look at the photo."""

from __future__ import annotations

import torch

from ..base.class_counts import confusion_matrices, most_likely
from ..base.progress import tqdm
from ..data import CarvanaDataset
from ..evaluation import Evaluation


def class_baselines(
    train: CarvanaDataset | None, dataset: CarvanaDataset, progress: bool = True
) -> dict[str, dict[str, float]]:
    """As `evaluation.baselines`, for several classes: nothing but background, and each pixel's commonest class.

    That is the class with the largest mean share in the masks of `train`, without those of groups that are in `dataset`
    too. Where no mask is left, or `train` is None, there is no such baseline.
    """
    count, scored = len(dataset.classes), {pair.car for pair in dataset.pairs}
    guesses = {"all background": torch.eye(count)[0].view(1, count, 1, 1)}
    others = [] if train is None else [row for row, pair in enumerate(train.pairs) if pair.car not in scored]
    if others:
        masks = train.masks()
        total = torch.zeros(masks.shape[1:], dtype=torch.float64)
        for row in others:
            total += torch.from_numpy(masks[row].astype("float64"))
        guesses["each pixel's commonest class"] = (total / len(others))[None].float()
    names, tables = [pair.name for pair in dataset.pairs], {name: [] for name in guesses}
    enlarged: dict[tuple, torch.Tensor] = {}  # few guesses and sizes, many photos
    for index in tqdm(range(len(names)), "Baselines", unit="photo", leave=False, disable=not progress):
        true = torch.from_numpy(dataset.native_mask(index))[None]
        for name, shares in guesses.items():
            key = name, true.shape
            if key not in enlarged:
                enlarged[key] = most_likely(shares, *true.shape[1:])
            tables[name].append(confusion_matrices(enlarged[key], true, count))
    results = {name: Evaluation(names, torch.cat(rows), [], (), dataset.classes) for name, rows in tables.items()}
    return {name: {kind: result.means()[kind] for kind in ("dice", "accuracy")} for name, result in results.items()}
