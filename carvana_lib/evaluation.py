"""Scores at the masks' own size, the baselines they must beat, and the report."""

from __future__ import annotations

import csv
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from .base.files import write_atomically
from .cli.report import _COLUMNS
from .data import CarvanaDataset
from .metrics import accuracy, bootstrap_interval, boundary_error, confusion, dice, iou
from .prediction import logit, predict_logits, upsample

# A photo's index, and its predicted mask (bool) at any (height, width).
Prediction = tuple[int, Callable[[int, int], torch.Tensor]]


@dataclass(frozen=True)
class Evaluation:
    """Counts and outline errors of every photo, in the order of `names`.

    Attributes:
        names: `<car>_<view>` of each photo.
        counts: int64 (N, 4), see `metrics.confusion`.
        boundary_errors: float64 (N,), pixels of the mask's own size; empty if not measured.
    """

    names: list[str]
    counts: torch.Tensor
    boundary_errors: np.ndarray

    @property
    def dice(self) -> np.ndarray:
        return dice(self.counts, "none").numpy()

    def summary(self) -> dict[str, object]:
        """The scores by name, ready for JSON; `metrics` says what each one is."""
        per_photo = self.dice
        cars = [name[:12] for name in self.names]
        car_names, car_of = np.unique(cars, return_inverse=True)
        per_car = np.bincount(car_of, weights=per_photo) / np.bincount(car_of)
        photo, car = int(per_photo.argmin()), int(per_car.argmin())
        result: dict[str, object] = {
            "dice": dice(self.counts).item(),
            "dice_ci95": bootstrap_interval(per_photo, cars),
            "dice_global": dice(self.counts, "global").item(),
            "dice_batch": dice(self.counts, "batch").item(),
            "accuracy": accuracy(self.counts).item(),
            "iou": iou(self.counts).item(),
            "n_images": len(self.names),
            "n_cars": len(car_names),
            "worst": {
                "photo": {"name": self.names[photo], "dice": float(per_photo[photo])},
                "car": {"name": str(car_names[car]), "dice": float(per_car[car])},
            },
        }
        if len(self.boundary_errors):
            result["boundary_error_px"] = float(self.boundary_errors.mean())
        return result

    def write_rows(self, path: Path) -> None:
        """One CSV row a photo: name, car, view, dice, accuracy, iou, boundary error (blank if not measured), counts."""
        table = zip(
            self.names,
            self.dice.tolist(),
            accuracy(self.counts, "none").tolist(),
            iou(self.counts, "none").tolist(),
            self.boundary_errors.tolist() or [""] * len(self.names),
            self.counts.tolist(),
            strict=True,
        )

        def write(temporary: Path) -> None:
            with open(temporary, "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(_COLUMNS)
                for name, *scores, counts in table:
                    writer.writerow([name, name[:12], name[13:], *scores, *counts])

        write_atomically(path, write)


def evaluate(
    model: nn.Module,
    dataset: CarvanaDataset,
    threshold: float = 0.5,
    tta: bool = False,
    batch_size: int | None = None,
    outlines: bool = True,
    indices: Sequence[int] | None = None,
    progress: bool = True,
    precision: str = "auto",
) -> Evaluation:
    """Score `model` on every photo at the native size of its mask.

    The logits are upsampled, then thresholded. The result does not depend on `batch_size`.

    Args:
        model: U-Net in evaluation mode, on its device.
        dataset: photos at the size the net was trained at.
        threshold: probability above which a pixel is car.
        tta: average with the mirrored photo's prediction.
        batch_size: photos the net sees at once; None chooses what is fast on the device.
        outlines: measure the boundary error too.
        indices: only these photos, one process's share of them say; there may be none.
        precision: see `predict_logits`.
    """
    device = next(model.parameters()).device
    cut = logit(threshold)
    # A CPU is fastest while a batch's feature maps fit into its cache.
    batch_size = batch_size or (4 if device.type == "cpu" else 32)
    indices = range(len(dataset)) if indices is None else indices

    def predictions() -> Iterator[Prediction]:
        for start in range(0, len(indices), batch_size):
            chosen = list(indices[start : start + batch_size])
            # A CPU adds up a single photo in another order than several, which may turn a pixel: it is never alone.
            alone = len(chosen) == 1 and device.type == "cpu"
            logits = predict_logits(model, dataset.batch(chosen * 2 if alone else chosen)[0].to(device), tta, precision)
            for index, one in zip(chosen, logits[: len(chosen)].split(1), strict=True):
                yield index, lambda height, width, one=one: upsample(one, height, width)[0, 0] > cut

    return score(predictions(), dataset, outlines, len(indices), "Scoring" if progress else None)


def score(
    predictions: Iterator[Prediction],
    dataset: CarvanaDataset,
    outlines: bool,
    total: int,
    title: str | None,
) -> Evaluation:
    """Count each predicted mask against the true one.

    Args:
        predictions: for each photo to score, in the order of the result.
        title: of the progress bar; None for no bar.
    """

    def one(index: int, predict: Callable[[int, int], torch.Tensor]) -> tuple[str, torch.Tensor, float]:
        target = torch.from_numpy(dataset.native_mask(index))
        prediction = predict(*target.shape)
        counts = confusion(prediction[None], target.to(prediction.device)[None])[0].cpu()
        error = boundary_error(prediction.cpu().numpy(), target.numpy()) if outlines else 0.0
        return dataset.pairs[index].name, counts, error

    rows = []
    # One thread decodes and counts while the net works on the next photos; a second one is no faster.
    with (
        ThreadPoolExecutor(1) as pool,
        tqdm(total=total, desc=title, unit="photo", leave=False, disable=title is None) as bar,
    ):
        waiting = []
        for index, predict in predictions:
            waiting.append(pool.submit(one, index, predict))
            # A short queue keeps memory constant: each waiting photo holds its logits only.
            if len(waiting) > 32:
                rows.append(waiting.pop(0).result())
                bar.update()
                if len(rows) % 32 == 0:
                    _hand_back_memory()
        for future in waiting:
            rows.append(future.result())
            bar.update()
    names, counts, errors = zip(*rows, strict=True) if rows else ((), (), ())
    # The empty table keeps `stack` going when a process has no photo to score.
    table = torch.stack([torch.zeros(4, dtype=torch.int64), *counts])[1:]
    return Evaluation(list(names), table, np.array(errors if outlines else []))


def _hand_back_memory() -> None:
    """Return freed memory to Linux: of masks made in one thread and freed in another, glibc keeps gigabytes."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def baselines(
    train: CarvanaDataset | None, dataset: CarvanaDataset, progress: bool = True
) -> dict[str, dict[str, float]]:
    """Dice and accuracy of predictions that never look at the photo.

    Args:
        train: training photos whose mean masks are the guess; None leaves out those baselines.
        dataset: photos to score.
    """
    guesses: dict[str, Callable[[int], torch.Tensor]] = {"all background": lambda view: torch.zeros(1, 1, 1, 1)}
    if train is not None:
        views = np.array([pair.view for pair in train.pairs])
        masks = train.masks()
        overall = _mean_mask(masks)
        by_view = {view: _mean_mask(masks[views == view]) for view in np.unique(views).tolist()}
        guesses["mean training mask"] = lambda view: overall
        guesses["mean training mask of the same view"] = lambda view: by_view.get(view, overall)
    return {
        name: _score_guess(guess, dataset, f"Baseline: {name}" if progress else None) for name, guess in guesses.items()
    }


def _score_guess(guess: Callable[[int], torch.Tensor], dataset: CarvanaDataset, title: str | None) -> dict[str, float]:
    """Dice and accuracy of a guess (view -> probabilities (1, 1, h, w)) for every photo."""

    def predictions() -> Iterator[Prediction]:
        for index, pair in enumerate(dataset.pairs):
            picture = guess(pair.view)
            yield index, lambda height, width, picture=picture: upsample(picture, height, width)[0, 0] > 0.5

    counts = score(predictions(), dataset, False, len(dataset), title).counts
    return {"dice": dice(counts).item(), "accuracy": accuracy(counts).item()}


def _mean_mask(masks: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W) to the mean mask, float32 (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(masks.mean(0, dtype=np.float64) / 255).float()[None, None]
