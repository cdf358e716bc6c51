"""The experiments of docs/results.md. Each asks one question; all its arms have the same budget and the same seeds.

    python -m benchmarks.experiments.experiments --data ROOT [--only NAME ...] [--seeds 0 1]
    python -m benchmarks.experiments.experiments --packs build/packs ...   # where a GPU is

Nets are small and runs are short: everything takes an hour on two cores. The scores of every finished training are kept
in build/experiments, so a second call continues where the first stopped. Writes docs/results/experiments/NAME.json.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
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
from carvana_lib.unet import UNet, _init_weights, count_parameters

from ..common import ROOT, command_line, take_steps, write
from ..speed.pack import Packs
from .backgrounds import KINDS, on_background

RESULTS = ROOT / "docs" / "results" / "experiments"
KEPT = ROOT / "build" / "experiments"
SIZES = ((120, 80), (240, 160), (480, 320))
CEILING_SIZES = ((120, 80), (240, 160), (240, 240), (480, 320), (959, 640))


@dataclass(frozen=True)
class WithoutSkips(TrainConfig):
    """Settings of a U-Net without skip connections. In their place, each up-convolution gives twice the channels."""

    def build_model(self) -> UNet:
        model = super().build_model()
        for block in model.up:
            wide = block.up.in_channels
            block.up = nn.ConvTranspose2d(wide, wide, 2, stride=2)
            block.apply(_init_weights)
            block.forward = partial(_without_skip, block)
        return model


def _without_skip(block: nn.Module, deep: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    return block.conv(block.up(deep))


BASE = TrainConfig(size=(120, 80), base_channels=8, learning_rate=4e-3)
LONGER = TrainConfig()  # 240x160, base 16: for questions that a smaller net and a shorter training left open
STEPS = {BASE: 540, LONGER: 1500}
ARMS: dict[str, tuple[TrainConfig, dict[str, TrainConfig]]] = {
    "masks": (LONGER, {"soft": LONGER, "hard": replace(LONGER, soft_masks=False)}),
    "loss": (BASE, {name: replace(BASE, loss=name) for name in LOSSES}),
    "cars": (BASE, {str(cars): replace(BASE, train_cars=cars) for cars in (10, 30, 90, 180)}),
    "skips": (LONGER, {"with": LONGER, "without": WithoutSkips(**asdict(LONGER))}),
    "size": (BASE, {f"{width}x{height}": replace(BASE, size=(width, height)) for width, height in SIZES}),
}
SHORTER = {"size": 180}  # steps: the largest size takes sixteen times as long as the smallest
QUESTIONS = ("split", *ARMS, "backdrops", "thresholds", "ceilings")
Load = Callable[[Sequence[Pair], tuple[int, int]], CarvanaDataset]


def main() -> None:
    parser = command_line(__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path)
    source.add_argument("--packs", type=Path, help="the folder of packs that benchmarks.speed.pack wrote")
    parser.add_argument("--only", nargs="+", default=QUESTIONS, choices=QUESTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int, help="of 16 photos each, at most; use it only to try the command")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.packs:
        packs = Packs(options.packs)
        list_photos, load = packs.pairs, packs.dataset
    else:
        list_photos, load = partial(list_pairs, find_data(options.data)), cached_dataset
    train, test = list_photos(TRAINING_FOLDS), list_photos([VALIDATION_FOLD])
    for name in options.only:
        base, arms = ARMS.get(name, (LONGER, {}))
        steps = SHORTER.get(name, STEPS[base])
        steps = min(steps, options.steps or steps)
        if name == "ceilings":
            result = ceilings(load, test)
        elif name == "thresholds":
            result = thresholds(load, test)
        else:
            budget = {"steps": steps, "batch_size": base.batch_size, "base_channels": base.base_channels}
            budget |= {"size": base.size, "train_photos": len(train)}
            measure = {"split": split, "backdrops": backdrops}.get(name) or partial(compare, arms=arms)
            result = {**budget, "arms": measure(load, train, test, options.seeds, steps)}
        write(options.out / f"{name}.json", result)


Rows = dict[str, list[dict[str, object]]]


def compare(
    load: Load,
    train: Sequence[Pair],
    test: Sequence[Pair],
    seeds: Sequence[int],
    steps: int,
    arms: dict[str, TrainConfig],
) -> Rows:
    """Dice and accuracy at the photos' own size, for every arm and seed."""
    rows: Rows = {}
    for arm, config in arms.items():
        rows[arm] = []
        for seed in seeds:
            scores, minutes = trained(replace(config, seed=seed), load, train, test, steps)
            row = {"seed": seed, "dice": float(scores.dice.mean()), **_rest(scores), "minutes": minutes}
            rows[arm].append({**row, "parameters": count_parameters(config.build_model())})
            print(f"  {arm}: {rows[arm][-1]}", flush=True)
    return rows


def _rest(scores: Evaluation) -> dict[str, float]:
    return {"accuracy": accuracy(scores.counts).item(), "worst": float(scores.dice.min())}


def split(load: Load, train: Sequence[Pair], test: Sequence[Pair], seeds: Sequence[int], steps: int) -> Rows:
    """Two nets score the same photos; the second has seen other views of the same cars in training.

    Two views of every validation car are tested. In the arm "by photo" the other views of these cars replace as many
    photos of training cars. A random split of photos has the same effect.
    """
    rows: Rows = {"by car": [], "by photo": []}
    for seed in seeds:
        views = np.random.default_rng(seed).permutation(16)[:2] + 1
        asked = {pair.name for pair in test if pair.view in views}
        seen = [pair for pair in test if pair.name not in asked]
        mixed = sorted([*train[len(seen) :], *seen], key=lambda pair: pair.name)
        for arm, photos in (("by car", train), ("by photo", mixed)):
            scores, minutes = trained(replace(LONGER, seed=seed), load, photos, test, steps)
            chosen = scores.dice[[name in asked for name in scores.names]]
            row = {"seed": seed, "dice": float(chosen.mean()), "test_photos": len(chosen), "minutes": minutes}
            rows[arm].append({**row, "train_photos": len(photos)})
            print(f"  {arm}: {row}", flush=True)
    return rows


def backdrops(load: Load, train: Sequence[Pair], test: Sequence[Pair], seeds: Sequence[int], steps: int) -> Rows:
    """Dice in the studio, and on kinds of background that training never drew."""
    rows: Rows = {}
    test_photos = load(test, LONGER.size)
    for arm, share in (("studio", 0.0), ("backdrops", 0.1)):
        rows[arm] = []
        for seed in seeds:
            model = fit_steps(replace(LONGER, seed=seed, backdrop=share), load(train, LONGER.size), steps)
            scenes = {"studio": test_photos} | {kind: on_background(test_photos, kind) for kind in KINDS}
            dice = {kind: float(evaluate(model, photos, outlines=False).dice.mean()) for kind, photos in scenes.items()}
            mean = float(np.mean([dice[kind] for kind in KINDS]))
            rows[arm].append({"seed": seed, "share": share, "dice": dice, "dice_outside": mean})
            print(f"  {arm}: {rows[arm][-1]}", flush=True)
    return rows


def trained(
    config: TrainConfig, load: Load, train: Sequence[Pair], test: Sequence[Pair], steps: int
) -> tuple[Evaluation, float]:
    """Train for `steps` steps, and score every test photo at its own size; also returns the minutes of training."""
    if config.train_cars:
        cars = set(sorted({pair.car for pair in train})[: config.train_cars])
        train = [pair for pair in train if pair.car in cars]
    what = [type(config).__name__, config.to_json(), steps, [p.name for p in train], [p.name for p in test]]
    kept = KEPT / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        photos, began = load(train, config.size), time.perf_counter()
        model = fit_steps(config, photos, steps)
        minutes = (time.perf_counter() - began) / 60
        scores = evaluate(model, load(test, config.size), outlines=False)
        write_json(kept, {"names": scores.names, "counts": scores.counts.tolist(), "minutes": minutes})
    values = json.loads(kept.read_text())
    return Evaluation(values["names"], torch.tensor(values["counts"]), np.array([])), values["minutes"]


def fit_steps(config: TrainConfig, train: CarvanaDataset, steps: int) -> nn.Module:
    """`run.fit.fit` without a run folder, for a number of steps instead of epochs."""
    per_epoch = len(train) // config.batch_size
    # Graphs change no number and save half of the time on a GPU; a CPU has none.
    trainer = Trainer(replace(config, epochs=-(-steps // per_epoch), cuda_graphs=True), len(train))
    train.keep_on(trainer.accelerator.device)
    take_steps(trainer, train, steps)
    return trainer.trained_model()


def ceilings(load: Load, test: Sequence[Pair]) -> dict[str, object]:
    """The score of a net without mistakes: true masks, made smaller to the net's size and enlarged again."""
    rows = {}
    for width, height in CEILING_SIZES:
        dataset = load(test, (width, height))
        masks = torch.from_numpy(np.array(dataset.masks()))[:, None].float() / 255
        row = {}
        for kind, small in (("soft", masks), ("hard", (masks > 0.5).float())):
            maps = (([index], small[index : index + 1]) for index in range(len(dataset)))
            title = f"Ceiling {width}x{height}, {kind} masks"
            counts = score(maps, 0.5, dataset, False, len(dataset), title).counts
            row[kind] = {"dice": dice(counts).item(), "accuracy": accuracy(counts).item()}
        rows[f"{width}x{height}"] = row
    return {"photos": len(test), "sizes": rows}


def thresholds(load: Load, test: Sequence[Pair]) -> dict[str, object]:
    """Dice and accuracy of the shipped weights at thresholds 0.00, 0.01, ... 1.00."""
    model, config = load_pretrained("small")
    dataset = load(test, config.size)
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
