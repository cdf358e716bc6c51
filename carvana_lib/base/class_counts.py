"""Several classes: from logits to the most likely class, and from class numbers to counts that scores are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

Score = Callable[[torch.Tensor, str], torch.Tensor]  # `metrics.dice` and the like


def most_likely(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Class numbers uint8 (N, height, width) of logits (N, C, h, w), enlarged; of equal ones, the lowest number."""
    # One class at a time: all of them enlarged would leave the CPU's cache, and argmax over channels is slow.
    best = labels = None
    for number, channel in enumerate(logits.split(1, 1)):
        larger = F.interpolate(channel, size=(height, width), mode="bilinear", align_corners=False)[:, 0]
        if best is None:
            best, labels = larger, torch.zeros_like(larger, dtype=torch.uint8)
        else:
            labels.masked_fill_(larger > best, number)
            torch.maximum(best, larger, out=best)
    return labels


def confusion_matrices(predicted: torch.Tensor, true: torch.Tensor, classes: int) -> torch.Tensor:
    """int64 (N, classes, classes): how many pixels of each true class (row) were taken for each class (column).

    Both are class numbers, uint8 (N, H, W). Pixels whose true number is 255 are left out.
    """
    kind = torch.uint8 if classes * (classes + 1) <= 256 else torch.int32
    # Pixels that are left out go to a row of their own, which is cut off.
    places = true.clamp(max=classes).to(kind) * classes + predicted.to(kind)
    counts = [torch.bincount(photo.flatten(), minlength=classes * (classes + 1)) for photo in places]
    shape = (len(true), classes + 1, classes)
    return torch.stack(counts).view(shape)[:, :-1] if counts else true.new_zeros(shape, dtype=torch.int64)[:, :-1]


def one_against_rest(matrices: torch.Tensor) -> torch.Tensor:
    """`metrics.confusion` of each class against all others: int64 (N, C, 4), from `confusion_matrices`."""
    tp = matrices.diagonal(dim1=1, dim2=2)
    fp, fn = matrices.sum(1) - tp, matrices.sum(2) - tp
    return torch.stack([tp, fp, fn, matrices.sum((1, 2))[:, None] - tp - fp - fn], 2)


def per_class(matrices: torch.Tensor, score: Score) -> torch.Tensor:
    """`score`, such as `metrics.dice`, of each class against the rest: float64 (N, C).

    NaN where a photo has a class neither in the true mask nor in the predicted one: it counts for nothing there.
    """
    counts = one_against_rest(matrices)
    scores = score(counts.flatten(0, 1), "none").view(counts.shape[:2])
    return scores.masked_fill(counts[..., :3].sum(2) == 0, torch.nan)


def photo_scores(matrices: torch.Tensor, score: Score) -> torch.Tensor:
    """For each photo the mean of `per_class` without the background, the first class: float64 (N,).

    A photo without any other class, in the true mask and in the predicted one, has 1: there was nothing to get wrong.
    """
    return per_class(matrices, score)[:, 1:].nanmean(1).nan_to_num(nan=1.0)


def right_share(matrices: torch.Tensor) -> torch.Tensor:
    """The share of each photo's pixels whose class is right: float64 (N,)."""
    right = matrices.diagonal(dim1=1, dim2=2).sum(1).double()
    return (right / matrices.sum((1, 2))).nan_to_num(nan=1.0)


def class_summary(names: Sequence[str], matrices: torch.Tensor, scores: dict[str, Score]) -> dict[str, object]:
    """Each class's mean scores over the photos that have it (None without any), and the confusion matrix of all."""
    each = {kind: per_class(matrices, score) for kind, score in scores.items()}
    photos = [int(there.sum()) for there in ~next(iter(each.values())).isnan().T]
    rows = {
        name: {kind: values[:, number].nanmean().item() if photos[number] else None for kind, values in each.items()}
        for number, name in enumerate(names)
    }
    rows = {name: {**row, "photos": count} for (name, row), count in zip(rows.items(), photos, strict=True)}
    return {"classes": list(names), "per_class": rows, "confusion": matrices.sum(0).tolist()}
