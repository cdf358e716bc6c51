"""Scores at every threshold at once, from one histogram of each photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..base.arrays import check_mask, check_probability
from ..base.errors import CarvanaError
from ..data import CarvanaDataset
from ..metrics import accuracy, dice, iou
from ..prediction import predict_logits, upsample

BINS = 1000  # thresholds are multiples of 1 / BINS


@dataclass(frozen=True)
class Histograms:
    """How many car and background pixels of each photo have which probability: int64 (N, BINS + 1) each.

    `car[n, k]` counts the pixels of photo n that are car and have a probability in ((k - 1) / BINS, k / BINS];
    `background` counts those that are not car.
    """

    car: np.ndarray
    background: np.ndarray

    def all_counts(self) -> torch.Tensor:
        """`metrics.confusion` of every photo at each threshold 0, 1 / BINS, ..., 1: int64 (N, BINS + 1, 4)."""
        # The pixels above each threshold: the sum from this column to the last, without the column itself.
        tp, fp = (counts[:, ::-1].cumsum(1)[:, ::-1] - counts for counts in (self.car, self.background))
        fn, tn = self.car.sum(1, keepdims=True) - tp, self.background.sum(1, keepdims=True) - fp
        return torch.from_numpy(np.stack([tp, fp, fn, tn], axis=-1))

    def counts(self, threshold: float) -> torch.Tensor:
        """`metrics.confusion` of every photo for `probability > threshold`, see `threshold_index`: int64 (N, 4)."""
        return self.all_counts()[:, threshold_index(threshold)]

    def curve(self) -> dict[str, np.ndarray]:
        """Mean over photos of dice, accuracy and iou at each threshold: float64 (BINS + 1,) each, and `threshold`."""
        counts, scores = self.all_counts(), {"dice": dice, "accuracy": accuracy, "iou": iou}
        each = {name: score(counts.flatten(0, 1), "none") for name, score in scores.items()}
        means = {name: values.reshape(counts.shape[:2]).mean(0).numpy() for name, values in each.items()}
        return {"threshold": np.arange(BINS + 1) / BINS, **means}

    def best_threshold(self) -> float:
        """The threshold with the highest mean Dice; if several share it, the middle one of them."""
        values = self.curve()["dice"]
        best = np.flatnonzero(values == values.max())
        return float(best[len(best) // 2]) / BINS


def threshold_index(threshold: float) -> int:
    """The number k of the nearest threshold k / BINS. Outside [0, 1] it raises a ValueError."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold} is not a probability: choose one from 0 to 1")
    return round(threshold * BINS)


def to_levels(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities float32 in [0, 1] as uint16 levels 0..BINS: `level > k` exactly where `probability > k / BINS`.

    What are no probabilities raise a ValueError.
    """
    check_probability(probabilities)
    # A search compares with each threshold. Multiplying by BINS would not: in float32, k / BINS * BINS can exceed k.
    return np.searchsorted((np.arange(BINS + 1) / BINS).astype(np.float32), probabilities).astype(np.uint16)


def histogram(probabilities: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many car and background pixels of one photo have which probability: int64 (BINS + 1,) each.

    `probabilities` is float32 (H, W) in [0, 1], or their `to_levels`; `target` is bool (H, W). Anything else
    raises a ValueError.
    """
    is_levels = getattr(probabilities, "dtype", None) == np.uint16
    levels = probabilities if is_levels else to_levels(probabilities)
    check_mask(target, levels.shape)
    if levels.max(initial=0) > BINS:
        raise ValueError(f"levels go from 0 to {BINS}, these to {levels.max()}: they are not from `to_levels`")
    everything = np.bincount(levels.ravel(), minlength=BINS + 1)
    car = np.bincount(levels[target], minlength=BINS + 1)
    return car, everything - car


@dataclass(frozen=True)
class Predictions:
    """The net's probabilities for every photo of a data set, at the masks' own size."""

    dataset: CarvanaDataset
    levels: list[np.ndarray]  # uint16 (H, W) for each photo, see `to_levels`; two bytes for each pixel
    histograms: Histograms

    def mask(self, index: int, threshold: float) -> np.ndarray:
        """Photo `index` at a threshold (a multiple of 1 / BINS, or rounded to one): bool (H, W)."""
        return self.levels[index] > threshold_index(threshold)


def predict_dataset(model: nn.Module, dataset: CarvanaDataset) -> Predictions:
    """Probabilities and histograms of every photo, computed one photo at a time; CarvanaError for several classes."""
    if dataset.classes:
        raise CarvanaError(
            f"a threshold tells two classes apart, and these data have {len(dataset.classes)}: use evaluate"
        )
    device = next(model.parameters()).device
    levels, counts = [], []
    for index in range(len(dataset)):
        target = dataset.native_mask(index)
        logits = upsample(predict_logits(model, dataset.batch([index])[0].to(device)), *target.shape)
        levels.append(to_levels(torch.sigmoid(logits)[0, 0].cpu().numpy()))
        counts.append(histogram(levels[-1], target))
    car, background = (np.stack(part) for part in zip(*counts, strict=True))
    return Predictions(dataset, levels, Histograms(car, background))
