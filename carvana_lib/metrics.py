"""Dice, IoU, accuracy, precision and recall; the boundary error; an interval over cars.

The first five scores come from one table of counts, `confusion`. Counts are integers, so no score depends on
how the photos were grouped into batches or spread over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree

from .base.arrays import check_mask, check_masks, described

TP, FP, FN, TN = range(4)  # the columns of a table of counts


def confusion(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Count the pixels of each photo: int64 (N, 4), true and false positives, false and true negatives.

    Both masks are bool (N, H, W) or (N, 1, H, W), True for car. Another type or shape, or two shapes, raise a
    ValueError.
    """
    check_masks(predictions)
    check_masks(targets)
    if predictions.shape != targets.shape:
        raise ValueError(f"masks differ in shape: {tuple(predictions.shape)} predicted, {tuple(targets.shape)} true")
    if predictions.device.type == "cuda":
        return _count_at_once(predictions, targets)
    # One photo at a time: on a CPU a sum over axes would first copy all masks as int64.
    rows = []
    for prediction, target in zip(predictions, targets, strict=True):
        tp = (prediction & target).count_nonzero()
        fp, fn = prediction.count_nonzero() - tp, target.count_nonzero() - tp
        rows.append(torch.stack([tp, fp, fn, target.numel() - tp - fp - fn]))
    return torch.stack(rows) if rows else torch.zeros(0, 4, dtype=torch.int64, device=predictions.device)


def _count_at_once(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    tp, predicted, true = (masks.flatten(1).sum(1) for masks in (predictions & targets, predictions, targets))
    return torch.stack([tp, predicted - tp, true - tp, targets[:1].numel() - predicted - true + tp], 1)


def dice(counts: torch.Tensor, aggregate: str = "image", batch_size: int = 32) -> torch.Tensor:
    """Dice = 2 |X and Y| / (|X| + |Y|), 1 where both masks are empty: float64.

    `counts` is (N, 4) from `confusion`. With `aggregate` "none", each photo gets one score, (N,); "image" gives their
    mean; "global" counts the pixels of all photos together; "batch" counts those of `batch_size` photos together, in
    the order given, and gives the mean over the batches, a smaller last one included. Many tutorials print "batch".
    """
    return _score(lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn), counts, aggregate, batch_size)


def iou(counts: torch.Tensor, aggregate: str = "image", batch_size: int = 32) -> torch.Tensor:
    """Intersection over union, 1 where both masks are empty; arguments as for `dice`."""
    return _score(lambda tp, fp, fn, tn: tp / (tp + fp + fn), counts, aggregate, batch_size)


def accuracy(counts: torch.Tensor, aggregate: str = "image", batch_size: int = 32) -> torch.Tensor:
    """Share of the pixels that are right; arguments as for `dice`."""
    return _score(lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn), counts, aggregate, batch_size)


def precision(counts: torch.Tensor, aggregate: str = "image", batch_size: int = 32) -> torch.Tensor:
    """Share of the predicted car pixels that are car, 1 where none is predicted; arguments as for `dice`."""
    return _score(lambda tp, fp, fn, tn: tp / (tp + fp), counts, aggregate, batch_size)


def recall(counts: torch.Tensor, aggregate: str = "image", batch_size: int = 32) -> torch.Tensor:
    """Share of the car's pixels that are found, 1 where there is no car; arguments as for `dice`."""
    return _score(lambda tp, fp, fn, tn: tp / (tp + fn), counts, aggregate, batch_size)


def _score(formula: Callable[..., torch.Tensor], counts: torch.Tensor, aggregate: str, batch_size: int) -> torch.Tensor:
    """`formula` of tp, fp, fn and tn, float64 (M,) each: of each photo, of each batch, or of all photos together."""
    if getattr(counts, "dtype", None) != torch.int64 or counts.shape[1:] != (4,):
        raise ValueError(f"scores need the counts, int64 (N, 4), that `confusion` gives, not {described(counts)}")
    if aggregate not in ("none", "image", "global", "batch"):
        raise ValueError(f"aggregate={aggregate!r} is not one of none, image, global, batch")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    if len(counts) == 0:
        raise ValueError("no photos to score")
    if aggregate == "global":
        counts = counts.sum(0, keepdim=True)
    elif aggregate == "batch":
        counts = torch.stack([batch.sum(0) for batch in counts.split(batch_size)])
    # 0 / 0 counts as 1: there was nothing to get wrong.
    scores = formula(*counts.double().unbind(1)).nan_to_num(nan=1.0)
    return scores if aggregate == "none" else scores.mean()


def erode(mask: np.ndarray) -> np.ndarray:
    """Car pixels whose neighbours beside, above and below are car too, or outside the picture: bool (H, W).

    A mask that is not a NumPy array, bool (H, W), raises a ValueError, here and in the three functions below.
    """
    check_mask(mask)
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    return inside


def boundary(mask: np.ndarray) -> np.ndarray:
    """The outline: car pixels with background beside, above or below them, bool (H, W)."""
    return mask & ~erode(mask)


def outline_points(mask: np.ndarray) -> cKDTree:
    """Row and column of each pixel of the outline of a bool (H, W) mask, in a tree that finds the nearest one."""
    # Five times faster than np.argwhere on a photo.
    return cKDTree(np.stack(np.divmod(np.flatnonzero(boundary(mask)), mask.shape[1]), axis=1))


def boundary_error(prediction: np.ndarray, target: np.ndarray, target_points: cKDTree | None = None) -> float:
    """Mean distance in pixels between the outlines of two masks, bool (H, W), measured from each to the other.

    This is the average symmetric surface distance. An empty or full mask has no outline: the error is then 0 if the
    masks are equal, and otherwise the picture's diagonal, the largest possible distance. For many predictions of one
    target, compute `target_points = outline_points(target)` once. Masks of two shapes raise a ValueError.
    """
    check_mask(prediction)
    check_mask(target)
    if prediction.shape != target.shape:
        raise ValueError(f"masks differ in shape: {prediction.shape} predicted, {target.shape} true")
    predicted, true = outline_points(prediction), target_points or outline_points(target)
    if predicted.n == 0 or true.n == 0:
        return 0.0 if np.array_equal(prediction, target) else float(np.hypot(*target.shape))
    to_true, _ = true.query(predicted.data)
    to_predicted, _ = predicted.query(true.data)
    return float((to_true.sum() + to_predicted.sum()) / (predicted.n + true.n))


def bootstrap_interval(
    values: Sequence[float], cars: Sequence[str], level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval for the mean of `values`, the scores of photos, from drawing whole cars with replacement.

    The photos of one car resemble one another, so drawing single photos would give too narrow an interval. `level` is
    the share of the draws whose mean lies inside. No values, a single car, a value that is not finite, or not
    one car for each value raise a ValueError.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("no scores to draw from")
    if values.ndim != 1 or np.shape(cars) != values.shape or not np.isfinite(values).all():
        shapes = f"{values.shape} values, {np.shape(cars)} cars"
        raise ValueError(f"an interval needs a finite score and a car for each photo, not {shapes}")
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f"level={level} must be between 0 and 1, draws={draws} at least 1")
    names, car_of = np.unique(np.asarray(cars), return_inverse=True)
    if len(names) < 2:
        raise ValueError("a single car says nothing about others: an interval needs at least two")
    sums, photos = np.bincount(car_of, weights=values), np.bincount(car_of)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[drawn].sum(1) / photos[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
