"""Scores at the masks' own size, and the baselines they must beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .base.class_counts import class_summary, confusion_matrices, most_likely, photo_scores, right_share
from .base.devices import hand_back_memory
from .base.errors import CarvanaError
from .base.progress import tqdm
from .data import CarvanaDataset
from .metrics import accuracy, bootstrap_interval, boundary_error, confusion, dice, iou
from .prediction import logit, predict_logits, upsample


@dataclass(frozen=True)
class Evaluation:
    """Counts and outline errors of every photo, in the order of `names`."""

    names: list[str]  # `<car>_<view>` of each photo
    counts: torch.Tensor  # int64 (N, 4), see `metrics.confusion`; of several classes (N, C, C), `confusion_matrices`
    boundary_errors: np.ndarray  # float64 (N,), pixels of the mask's own size; empty if not measured
    groups: Sequence[str] = ()  # of each photo, what is never split; empty for Carvana's, whose names tell the car
    classes: Sequence[str] = ()  # names of several classes

    def scores(self, score: Callable[..., torch.Tensor] = dice) -> np.ndarray:
        """Dice, IoU or accuracy of each photo: float64 (N,); of several classes, Dice and IoU as in `photo_scores`."""
        if not self.classes:
            return score(self.counts, "none").numpy()
        if score is accuracy:
            return right_share(self.counts).numpy()
        return photo_scores(self.counts, score).numpy()

    @property
    def dice(self) -> np.ndarray:
        return self.scores(dice)

    def means(self) -> dict[str, float]:
        """The mean over photos of Dice, accuracy and IoU."""
        kinds = {"dice": dice, "accuracy": accuracy, "iou": iou}
        if self.classes:
            return {name: float(self.scores(kind).mean()) for name, kind in kinds.items()}
        return {name: kind(self.counts).item() for name, kind in kinds.items()}

    @property
    def cars(self) -> list[str]:
        return list(self.groups) or [name[:12] for name in self.names]

    def part(self, names: set[str]) -> Evaluation:
        """Only the photos of `names`."""
        rows = [row for row, name in enumerate(self.names) if name in names]
        errors = self.boundary_errors[rows] if len(self.boundary_errors) else self.boundary_errors
        cars = [self.cars[row] for row in rows]
        return Evaluation([self.names[row] for row in rows], self.counts[rows], errors, cars, self.classes)

    def summary(self) -> dict[str, object]:
        """The scores by name, ready for JSON; `metrics` says what each one is."""
        cars = self.cars
        car_names, car_of = np.unique(cars, return_inverse=True)
        per_car = np.bincount(car_of, weights=self.dice) / np.bincount(car_of)
        worst = {"photo": (self.names, self.dice), "car": (car_names, per_car)}
        result: dict[str, object] = {
            **self.means(),
            "dice_ci95": bootstrap_interval(self.dice, cars) if len(car_names) > 1 else None,  # one car has no spread
            "n_images": len(self.names),
            "n_cars": len(car_names),
            "worst": {
                kind: {"name": str(names[scores.argmin()]), "dice": float(scores.min())}
                for kind, (names, scores) in worst.items()
            },
        }
        if self.classes:
            return result | class_summary(self.classes, self.counts, {"dice": dice, "iou": iou})
        result |= {f"dice_{kind}": dice(self.counts, kind).item() for kind in ("global", "batch")}
        if len(self.boundary_errors):
            result["boundary_error_px"] = float(self.boundary_errors.mean())
        return result


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

    The logits are upsampled, then thresholded; of several classes, the one with the largest logit counts. The result
    does not depend on `batch_size`. Raises CarvanaError for a net that tells another number of classes apart.

    Args:
        model: U-Net in evaluation mode, on its device.
        dataset: photos at the size the net was trained at.
        threshold: probability above which a pixel is car.
        tta: average with the mirrored photo's prediction.
        batch_size: photos the net sees at once; None chooses what is fast on the device.
        outlines: measure the boundary error too, of two classes.
        indices: only these photos, for instance one process's share of them; there may be none.
        precision: see `predict_logits`.
    """
    device = next(model.parameters()).device
    # A CPU is fastest while a batch's feature maps fit into its cache.
    batch_size = batch_size or (4 if device.type == "cpu" else 32)
    indices = range(len(dataset)) if indices is None else indices

    def logit_maps() -> Iterator[tuple[list[int], torch.Tensor]]:
        for start in range(0, len(indices), batch_size):
            chosen = list(indices[start : start + batch_size])
            # A CPU adds up a single photo in another order than several, which may turn a pixel: it is never alone.
            batch = chosen * 2 if len(chosen) == 1 and device.type == "cpu" else chosen
            logits = predict_logits(model, dataset.batch(batch)[0].to(device), tta, precision)
            if logits.shape[1] != (len(dataset.classes) or 1):
                what = f"a net with {logits.shape[1]} logits a pixel, and data with {len(dataset.classes) or 2} classes"
                raise CarvanaError(f"{what}: use weights that were trained on such data")
            yield chosen, logits[: len(chosen)]

    title = "Scoring" if progress else None
    return score(logit_maps(), logit(threshold), dataset, outlines, len(indices), title)


def score(
    maps: Iterator[tuple[list[int], torch.Tensor]],
    cut: float,
    dataset: CarvanaDataset,
    outlines: bool,
    total: int,
    title: str | None,
) -> Evaluation:
    """Count each predicted mask against the true one, on the device of the maps.

    Args:
        maps: batches of photos to score: their indices and maps, float32 (B, 1 or C, h, w) of any size; `total` photos.
        cut: a pixel is car where the map, upsampled to the mask's own size, is above this value.
        title: of the progress bar; None for no bar.
    """
    names, groups, tables, errors = [], [], [], []
    waiting: list[tuple[list[int], Future]] = []

    def take_first() -> None:
        indices, future = waiting.pop(0)
        counts, distances = future.result()
        names.extend(dataset.pairs[index].name for index in indices)
        groups.extend(dataset.pairs[index].car for index in indices)
        tables.append(counts)
        errors.extend(distances)
        bar.update(len(indices))
        if len(names) % 32 < len(indices):  # each 32 photos, whatever the batch
            hand_back_memory()

    # One thread decodes and counts while the net works on the next photos; a second one is no faster.
    with (
        ThreadPoolExecutor(1) as pool,
        tqdm(total=total, desc=title, unit="photo", leave=False, disable=title is None) as bar,
    ):
        for indices, batch in maps:
            # A GPU counts masks of one size at once; for a CPU, one photo's masks are as much as its cache holds.
            at_once = batch.device.type != "cpu"
            waiting.append((indices, pool.submit(count_batch, dataset, indices, batch, cut, outlines, at_once)))
            # A short queue keeps memory constant: each waiting photo holds only its map.
            while len(waiting) > 1 and sum(len(indices) for indices, _ in waiting) > 32:
                take_first()
        while waiting:
            take_first()
    # Fetched once: a copy of each photo's counts would make a GPU wait each time.
    shape = [len(dataset.classes)] * 2 if dataset.classes else [4]
    table = torch.cat(tables).cpu() if tables else torch.zeros(0, *shape, dtype=torch.int64)
    return Evaluation(names, table, np.array(errors), groups, dataset.classes)


def count_batch(
    dataset: CarvanaDataset, indices: list[int], maps: torch.Tensor, cut: float, outlines: bool, at_once: bool
) -> tuple[torch.Tensor, list[float]]:
    """A part of `Evaluation.counts` on the device of `maps`, and with `outlines` the boundary error of each photo."""
    targets = dataset.native_masks_on(indices, maps.device)
    alike = len({target.shape for target in targets}) == 1
    groups = [targets] if at_once and alike else [[target] for target in targets]
    counts, errors = [], []
    for score_maps, group in zip(maps.split([len(group) for group in groups]), groups, strict=True):
        true = torch.stack(group)
        if dataset.classes:
            predicted = most_likely(score_maps, *true.shape[-2:])
            counts.append(confusion_matrices(predicted, true, len(dataset.classes)))
            continue
        predictions = upsample(score_maps, *true.shape[-2:])[:, 0] > cut
        counts.append(confusion(predictions, true))
        if outlines:
            both = zip(predictions.cpu().numpy(), true.cpu().numpy(), strict=True)
            errors += [boundary_error(predicted, actual) for predicted, actual in both]
    return torch.cat(counts), errors


def baselines(
    train: CarvanaDataset | None, dataset: CarvanaDataset, progress: bool = True
) -> dict[str, dict[str, float]]:
    """Dice and accuracy, on the photos of `dataset`, of predictions that never look at the photo.

    The mean masks of `train` are the guesses, without those of cars that are in `dataset` too. Where none are left, or
    `train` is None, there are no such baselines.
    """
    guesses: dict[str, dict[int, torch.Tensor]] = {"all background": {}}
    scored = {pair.car for pair in dataset.pairs}
    others = [] if train is None else [row for row, pair in enumerate(train.pairs) if pair.car not in scored]
    if others:
        views, masks = np.array([train.pairs[row].view for row in others]), train.masks()
        masks = masks if len(others) == len(masks) else masks[others]  # indexing would copy them all
        by_view = {view: _mean_mask(masks[views == view]) for view in np.unique(views).tolist()}
        overall = _mean_mask(masks)
        guesses["mean training mask"] = dict.fromkeys(by_view, overall)
        if len(by_view) > 1:  # other data than Carvana's have no views
            guesses["mean training mask of the same view"] = by_view
    counts: dict[str, list[torch.Tensor]] = {name: [] for name in guesses}
    enlarged: dict[tuple, torch.Tensor] = {}  # few guesses and sizes, many photos
    nothing = torch.zeros(1, 1, 1, 1)
    for index, pair in enumerate(tqdm(dataset.pairs, "Baselines", unit="photo", leave=False, disable=not progress)):
        target = torch.from_numpy(dataset.native_mask(index))
        for name, maps in guesses.items():
            key = name, pair.view, target.shape
            if key not in enlarged:
                default = overall if maps else nothing
                enlarged[key] = upsample(maps.get(pair.view, default), *target.shape)[0, 0] > 0.5
            counts[name].append(confusion(enlarged[key][None], target[None])[0])
        if index % 32 == 31:  # else memory grows with the number of photos
            hand_back_memory()
    tables = {name: torch.stack(rows) for name, rows in counts.items()}
    return {name: {"dice": dice(rows).item(), "accuracy": accuracy(rows).item()} for name, rows in tables.items()}


def _mean_mask(masks: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W) to the mean mask, float32 (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(masks.mean(0, dtype=np.float64) / 255).float()[None, None]
