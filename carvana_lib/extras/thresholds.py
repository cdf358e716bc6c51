"""Scores at every threshold at once, from one histogram a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..data import CarvanaDataset
from ..metrics import accuracy, dice, iou
from ..prediction import predict_logits, upsample

BINS = 1000


@dataclass(frozen=True)
class Histograms:
    """How many car and background pixels of each photo have which probability.

    Attributes:
        car: int64 (N, BINS + 1); `car[n, k]` pixels of photo n are car and have a probability in
            ((k - 1) / BINS, k / BINS].
        background: the same for pixels that are not car.
    """

    car: np.ndarray
    background: np.ndarray

    def counts(self, threshold: float) -> torch.Tensor:
        """`metrics.confusion` of every photo for `probability > threshold`: int64 (N, 4).

        Exact at the thresholds 0, 1 / BINS, ... 1; others are rounded to the nearest of these.

        Raises:
            ValueError: the threshold is not in [0, 1].
        """
        first = threshold_index(threshold) + 1
        tp, fp = self.car[:, first:].sum(1), self.background[:, first:].sum(1)
        columns = [tp, fp, self.car.sum(1) - tp, self.background.sum(1) - fp]
        return torch.from_numpy(np.stack(columns, axis=1))

    def curve(self) -> dict[str, np.ndarray]:
        """Mean over photos of dice, accuracy and iou at each threshold: float64 (BINS + 1,) each, and `threshold`."""
        # Pixels above each threshold: a sum from the right that leaves out the bin itself.
        tp, fp = (_above(part) for part in (self.car, self.background))
        fn, tn = self.car.sum(1)[:, None] - tp, self.background.sum(1)[:, None] - fp
        photos = len(tp)
        table = torch.from_numpy(np.stack([tp, fp, fn, tn], axis=-1).reshape(-1, 4))
        scores = {"dice": dice, "accuracy": accuracy, "iou": iou}
        means = {name: score(table, "none").reshape(photos, -1).mean(0).numpy() for name, score in scores.items()}
        return {"threshold": np.arange(BINS + 1) / BINS, **means}

    def best_threshold(self) -> float:
        """The threshold with the highest mean Dice: the middle one, where several share it."""
        values = self.curve()["dice"]
        best = np.flatnonzero(values == values.max())
        return float(best[len(best) // 2]) / BINS


def threshold_index(threshold: float) -> int:
    """The nearest multiple of 1 / BINS, times BINS."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold {threshold} is not a probability: choose one from 0 to 1")
    return round(threshold * BINS)


def to_levels(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities float32 in [0, 1] as uint16 levels 0..BINS: `level > k` exactly where `probability > k / BINS`."""
    # The comparisons themselves: in float32, k / BINS * BINS can come out just above k.
    return np.searchsorted((np.arange(BINS + 1) / BINS).astype(np.float32), probabilities).astype(np.uint16)


def histogram(probabilities: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One photo's counts of car and of background pixels by probability: int64 (BINS + 1,) each.

    Args:
        probabilities: float32 (H, W) in [0, 1], or what `to_levels` made of them.
        target: bool (H, W).
    """
    levels = probabilities if probabilities.dtype == np.uint16 else to_levels(probabilities)
    everything = np.bincount(levels.ravel(), minlength=BINS + 1)
    car = np.bincount(levels[target], minlength=BINS + 1)
    return car, everything - car


@dataclass(frozen=True)
class Predictions:
    """The net's probabilities for every photo of a data set, at the masks' own size.

    Attributes:
        dataset: the photos.
        levels: one uint16 (H, W) a photo, see `to_levels`; two bytes a pixel.
        histograms: of all photos.
    """

    dataset: CarvanaDataset
    levels: list[np.ndarray]
    histograms: Histograms

    def mask(self, index: int, threshold: float) -> np.ndarray:
        """Photo `index` at a threshold (a multiple of 1 / BINS, or rounded to one): bool (H, W)."""
        return self.levels[index] > threshold_index(threshold)


def predict_dataset(model: nn.Module, dataset: CarvanaDataset) -> Predictions:
    """Probabilities and histograms of every photo, one photo at a time."""
    device = next(model.parameters()).device
    levels, counts = [], []
    for index in range(len(dataset)):
        target = dataset.native_mask(index)
        logits = upsample(predict_logits(model, dataset.batch([index])[0].to(device)), *target.shape)
        levels.append(to_levels(torch.sigmoid(logits)[0, 0].cpu().numpy()))
        counts.append(histogram(levels[-1], target))
    car, background = (np.stack(part) for part in zip(*counts, strict=True))
    return Predictions(dataset, levels, Histograms(car, background))


def _above(counts: np.ndarray) -> np.ndarray:
    """(N, B) -> (N, B): the sum of all columns to the right."""
    return counts[:, ::-1].cumsum(1)[:, ::-1] - counts
