"""The experiments of docs/results.md. Each asks one question; all its arms have the same budget and the same seeds.

    python -m benchmarks.experiments.experiments --data ROOT [--only NAME ...] [--seeds 0 1]

Nets are small and runs are short: everything takes an hour on two cores. The scores of every finished training are kept
in build/experiments, so a second call continues where the first stopped. Writes docs/results/experiments/NAME.json.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from carvana_lib.cli.report import write_json
from carvana_lib.config import TrainConfig
from carvana_lib.data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, Pair, find_data, list_pairs
from carvana_lib.evaluation import Evaluation, evaluate, score
from carvana_lib.extras.thresholds import Histograms, histogram
from carvana_lib.losses import LOSSES
from carvana_lib.metrics import accuracy, dice
from carvana_lib.prediction import predict_logits, upsample
from carvana_lib.prepare.cache import cached_dataset
from carvana_lib.run.weights import load_pretrained
from carvana_lib.training import Trainer
from carvana_lib.unet import UNet

from ..common import ROOT, command_line, take_steps, write

RESULTS = ROOT / "docs" / "results" / "experiments"
KEPT = ROOT / "build" / "experiments"
SIZES = ((120, 80), (240, 160), (480, 320))
CEILING_SIZES = ((120, 80), (240, 160), (240, 240), (480, 320), (959, 640))


@dataclass(frozen=True)
class WithoutSkips(TrainConfig):
    """Settings of a U-Net whose skip connections carry zeros. The number of parameters stays the same."""

    def build_model(self) -> UNet:
        model = super().build_model()
        for block in model.up:
            block.register_forward_pre_hook(_no_skip)
        return model


def _no_skip(_: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    deep, skip = inputs
    return deep, torch.zeros_like(skip)


BASE = TrainConfig(size=(120, 80), base_channels=8, learning_rate=4e-3)
STEPS = 540
ARMS: dict[str, dict[str, TrainConfig]] = {
    "masks": {"soft": BASE, "hard": replace(BASE, soft_masks=False)},
    "loss": {name: replace(BASE, loss=name) for name in LOSSES},
    "cars": {str(cars): replace(BASE, train_cars=cars) for cars in (10, 30, 90, 180)},
    "skips": {"with": BASE, "without": WithoutSkips(**asdict(BASE))},
    "size": {f"{width}x{height}": replace(BASE, size=(width, height)) for width, height in SIZES},
}
SHORTER = {"size": 180}  # steps: the largest size takes sixteen times as long as the smallest
QUESTIONS = ("split", *ARMS, "thresholds", "ceilings")


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", default=QUESTIONS, choices=QUESTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="of 16 photos each; use other values only to try the command"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    root = find_data(options.data)
    train, test = list_pairs(root, TRAINING_FOLDS), list_pairs(root, [VALIDATION_FOLD])
    for name in options.only:
        if name == "ceilings":
            result = ceilings(test)
        elif name == "thresholds":
            result = thresholds(test)
        elif name == "split":
            result = split(train, test, options.seeds, options.steps)
        else:
            steps = min(options.steps, SHORTER.get(name, STEPS))
            result = compare(ARMS[name], train, test, options.seeds, steps)
        write(options.out / f"{name}.json", result)


def compare(
    arms: dict[str, TrainConfig], train: Sequence[Pair], test: Sequence[Pair], seeds: Sequence[int], steps: int
) -> dict[str, object]:
    """Dice and accuracy at the photos' own size, for every arm and seed."""
    rows: dict[str, list[dict[str, float]]] = {}
    for arm, config in arms.items():
        rows[arm] = []
        for seed in seeds:
            scores, minutes = trained(replace(config, seed=seed), train, test, steps)
            rows[arm].append({"seed": seed, "dice": float(scores.dice.mean()), **_rest(scores), "minutes": minutes})
            print(f"  {arm}: {rows[arm][-1]}", flush=True)
    return {"steps": steps, "batch_size": BASE.batch_size, "base_channels": BASE.base_channels, "arms": rows}


def _rest(scores: Evaluation) -> dict[str, float]:
    return {"accuracy": accuracy(scores.counts).item(), "worst": float(scores.dice.min())}


def split(train: Sequence[Pair], test: Sequence[Pair], seeds: Sequence[int], steps: int) -> dict[str, object]:
    """Two nets score the same photos; the second has seen other views of the same cars in training.

    Two views of every validation car are tested. In the arm "by photo" the other views of these cars replace as many
    photos of training cars. A random split of photos has the same effect.
    """
    rows: dict[str, list[dict[str, float]]] = {"by car": [], "by photo": []}
    for seed in seeds:
        views = np.random.default_rng(seed).permutation(16)[:2] + 1
        asked = {pair.name for pair in test if pair.view in views}
        seen = [pair for pair in test if pair.name not in asked]
        mixed = sorted([*train[len(seen) :], *seen], key=lambda pair: pair.name)
        for arm, photos in (("by car", train), ("by photo", mixed)):
            scores, minutes = trained(replace(BASE, seed=seed), photos, test, steps)
            chosen = scores.dice[[name in asked for name in scores.names]]
            row = {"seed": seed, "dice": float(chosen.mean()), "test_photos": len(chosen), "minutes": minutes}
            rows[arm].append({**row, "train_photos": len(photos)})
            print(f"  {arm}: {row}", flush=True)
    return {"steps": steps, "batch_size": BASE.batch_size, "base_channels": BASE.base_channels, "arms": rows}


def trained(config: TrainConfig, train: Sequence[Pair], test: Sequence[Pair], steps: int) -> tuple[Evaluation, float]:
    """Train for `steps` steps, and score every test photo at its own size; also returns the minutes of training."""
    if config.train_cars:
        cars = set(sorted({pair.car for pair in train})[: config.train_cars])
        train = [pair for pair in train if pair.car in cars]
    what = [type(config).__name__, config.to_json(), steps, [p.name for p in train], [p.name for p in test]]
    kept = KEPT / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        began = time.perf_counter()
        model = fit_steps(config, cached_dataset(train, config.size), steps)
        minutes = (time.perf_counter() - began) / 60
        scores = evaluate(model, cached_dataset(test, config.size), outlines=False)
        write_json(kept, {"names": scores.names, "counts": scores.counts.tolist(), "minutes": minutes})
    values = json.loads(kept.read_text())
    return Evaluation(values["names"], torch.tensor(values["counts"]), np.array([])), values["minutes"]


def fit_steps(config: TrainConfig, train: CarvanaDataset, steps: int) -> nn.Module:
    """`run.fit.fit` without a run folder, for a number of steps instead of epochs."""
    per_epoch = len(train) // config.batch_size
    trainer = Trainer(replace(config, epochs=-(-steps // per_epoch)), len(train))
    take_steps(trainer, train, steps)
    return trainer.trained_model()


def ceilings(test: Sequence[Pair]) -> dict[str, object]:
    """The score of a net without mistakes: true masks, made smaller to the net's size and enlarged again."""
    rows = {}
    for width, height in CEILING_SIZES:
        dataset = cached_dataset(test, (width, height))
        masks = torch.from_numpy(np.array(dataset.masks()))[:, None].float() / 255
        row = {}
        for kind, small in (("soft", masks), ("hard", (masks > 0.5).float())):
            maps = ((index, small[index : index + 1]) for index in range(len(dataset)))
            title = f"Ceiling {width}x{height}, {kind} masks"
            counts = score(maps, 0.5, dataset, False, len(dataset), title).counts
            row[kind] = {"dice": dice(counts).item(), "accuracy": accuracy(counts).item()}
        rows[f"{width}x{height}"] = row
    return {"photos": len(test), "sizes": rows}


def thresholds(test: Sequence[Pair]) -> dict[str, object]:
    """Dice and accuracy of the shipped weights at thresholds 0.00, 0.01, ... 1.00."""
    model, config = load_pretrained("small")
    dataset = cached_dataset(test, config.size)
    counts = []
    for index in range(len(dataset)):
        target = dataset.native_mask(index)
        logits = upsample(predict_logits(model, dataset.batch([index])[0]), *target.shape)
        counts.append(histogram(torch.sigmoid(logits)[0, 0].numpy(), target))
    car, background = (np.stack(part) for part in zip(*counts, strict=True))
    found = Histograms(car, background)
    curve = {name: values[::10].tolist() for name, values in found.curve().items()}
    best_accuracy = float(np.argmax(found.curve()["accuracy"])) / 1000
    return {"photos": len(test), "best_dice": found.best_threshold(), "best_accuracy": best_accuracy, "curve": curve}


if __name__ == "__main__":
    main()
