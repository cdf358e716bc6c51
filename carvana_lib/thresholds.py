"""Scores at every threshold at once, from one histogram a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .metrics import accuracy, dice, iou

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


def histogram(probabilities: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One photo's counts of car and of background pixels by probability: int64 (BINS + 1,) each.

    Args:
        probabilities: float32 (H, W) in [0, 1].
        target: bool (H, W).
    """
    # Rounding up puts k / BINS itself into bin k: it is not above the threshold k / BINS.
    # float64, since in float32 k / BINS * BINS can come out above k.
    bins = np.ceil(np.round(probabilities.astype(np.float64) * BINS, 4)).astype(np.int64)
    everything = np.bincount(bins.ravel(), minlength=BINS + 1)
    car = np.bincount(bins[target], minlength=BINS + 1)
    return car, everything - car


def _above(counts: np.ndarray) -> np.ndarray:
    """(N, B) -> (N, B): the sum of all columns to the right."""
    return counts[:, ::-1].cumsum(1)[:, ::-1] - counts
