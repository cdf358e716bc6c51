"""What a GPU does: photos a second, their share of what the chip could do, the wait for validation, the time to a Dice.

    python -m benchmarks.speed.pack --data ROOT --out build/packs   # where the data are
    python -m benchmarks.speed.gpu --packs build/packs              # where the GPU is

Without --packs only speed is measured, on random pictures. The file of results is written again after each part, so
nothing is lost if a later part stops. `--smoke` runs everything at a tiny size, also on a CPU, to check that it works.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from carvana_lib.base.devices import best_device
from carvana_lib.config import TrainConfig, preset
from carvana_lib.data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, Pair
from carvana_lib.evaluation import evaluate, score
from carvana_lib.metrics import dice
from carvana_lib.prediction import predict_logits
from carvana_lib.run.weights import load_pretrained
from carvana_lib.training import Trainer

from ..common import command_line, take_steps, write
from .pack import Packs
from .usual import usual_step

SMALL = preset("small", cuda_graphs=True)
NETS = {
    "base 64, 240x160": TrainConfig(base_channels=64, batch_size=64, loss="bce"),
    "base 64, 480x320": TrainConfig(size=(480, 320), base_channels=64, loss="bce"),
    "small, 959x640": preset("small"),
}
WAYS = {
    "eager": {},
    "graphs": {"cuda_graphs": True},
    "compiled": {"compile": True},
    "compiled graphs": {"compile": True, "cuda_graphs": True},
}
QUICK = replace(SMALL, colour=0.0, rotate=0.0, scale=0.0, shift=0.0, ema_decay=0.98)
HALF = replace(QUICK, size=(480, 320), base_channels=32, loss="bce+dice", learning_rate=4e-3)
WARPS = replace(SMALL, ema_decay=0.995, scale=0.05, colour=0.15)
FIRST = replace(WARPS, size=(480, 320), ema_decay=0.98, learning_rate=5e-3)
# From the quickest to the best, in one stage or two. In each stage the learning rate goes down to 0 within the epochs.
RECIPES: dict[str, tuple[TrainConfig, ...]] = {
    "480x320, base 32, 2 epochs": (replace(HALF, epochs=2),),
    "480x320, base 32, 3 epochs": (replace(HALF, epochs=3),),
    "480x320, base 32, 5 epochs": (replace(HALF, epochs=5),),
    "959x640, base 16, 2 epochs": (replace(QUICK, epochs=2),),
    "959x640, base 16, 3 epochs": (replace(QUICK, epochs=3),),
    "959x640, base 16, 6 epochs": (replace(QUICK, epochs=6, ema_decay=0.99),),
    "959x640, base 16, 9 epochs, small warps": (replace(WARPS, epochs=9),),
    "959x640, base 16, 12 epochs, small warps": (replace(WARPS, epochs=12),),
    "10 epochs at 480x320, then 8 at 959x640": (
        replace(FIRST, epochs=10),
        replace(WARPS, epochs=8, learning_rate=5e-3),
    ),
    "12 epochs at 480x320, then 9 at 959x640": (
        replace(FIRST, epochs=12),
        replace(WARPS, epochs=9, learning_rate=4e-3),
    ),
}
GOALS = (0.990, 0.991, 0.995)


def main() -> None:
    parser = command_line(__doc__, "gpu.json")
    parser.add_argument("--packs", type=Path, help="the folder of packs")
    parser.add_argument("--only", nargs="+", default=["speed", "validation", "device", "goals"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    # A part that is measured alone leaves the others in the file as they are.
    results: dict[str, object] = json.loads(options.json.read_text()) if options.json.exists() else {}
    if "speed" in options.only:
        results |= {"peak": peak(1024 if options.smoke else 8192), "speed": {}}
        for name, config in NETS.items():
            results["speed"][name] = speed(smaller(config) if options.smoke else config, results["peak"], options)
            write(options.json, results)
    if options.packs:
        packs = Packs(options.packs)
        for part, measure in (("validation", validation), ("device", device), ("goals", goals)):
            if part in options.only:
                results[part] = measure(packs, options.smoke)
                write(options.json, results)


def smaller(config: TrainConfig) -> TrainConfig:
    """The same settings for a net and photos so small that a CPU is fast; a CPU has no graphs."""
    return replace(config, size=(48, 32), base_channels=2, batch_size=2, cuda_graphs=False)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Mean seconds of one call of `work`, after three calls to warm up."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for _ in range(3):
        work()
    wait()
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - began) / repeats


def peak(side: int) -> dict[str, float]:
    """The most that this chip does, measured with bf16 matrix products and with copies in memory."""
    a, b = (torch.randn(side, side, device=best_device(), dtype=torch.bfloat16) for _ in range(2))
    big = torch.empty(side * side * 4, device=best_device())
    copied = torch.empty_like(big)
    return {
        "flops_per_second": 2 * side**3 / seconds(lambda: a @ b, 10),
        "bytes_per_second": 2 * big.nbytes / seconds(lambda: copied.copy_(big), 10),
    }


def speed(config: TrainConfig, best: dict[str, float], options: argparse.Namespace) -> dict[str, object]:
    """Training photos a second: the usual way, and each of ours with its share of the roofline and its memory."""
    steps, config = 2 if options.smoke else 40, replace(config, epochs=1000)
    dataset = random_photos(config.size, 4 * config.batch_size)
    dataset.keep_on(best_device())
    model = config.build_model().to(best_device())
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    batch = dataset.batch(list(range(config.batch_size)))
    images, masks = (part.to(best_device()).float().contiguous() / 255 for part in batch)
    usual = config.batch_size / seconds(lambda: usual_step(model, optimizer, images, masks), steps)
    flops, traffic = work_per_photo(config.build_model().to(best_device()), config.size)
    # The slower of two limits holds: computing, or moving bytes.
    slowest = max(flops / best["flops_per_second"], traffic / best["bytes_per_second"])
    row: dict[str, object] = {"batch": config.batch_size, "usual_photos_per_second": usual}
    row |= {"flops_per_photo": flops, "bytes_per_photo": traffic, "possible_photos_per_second": 1 / slowest}
    for way in options.ways:
        torch._dynamo.reset()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        trainer = Trainer(replace(config, **({} if options.smoke else WAYS[way])), len(dataset))
        take_steps(trainer, dataset, 1)
        first = time.perf_counter() - began
        rate = config.batch_size / seconds(lambda trainer=trainer: take_steps(trainer, dataset, 1), steps)
        row[way] = {
            "photos_per_second": rate,
            "ratio": rate / usual,
            "roofline_share": rate * slowest,
            "seconds_to_first_step": first,
            "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None,
        }
        print(way, row[way], flush=True)
    return row


def work_per_photo(model: nn.Module, size: tuple[int, int]) -> tuple[float, float]:
    """Operations, and the least bytes to move, for the forward and backward pass of one photo in bf16.

    Forward, a layer reads its input and writes its output. Backward, it moves as many bytes for the gradient of the
    input, and as many again for the gradient of the weights: three times in all.
    """
    moved = []
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output: moved.append(inputs[0].numel() + output.numel()))
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)
    ]
    images = torch.rand(1, 3, size[1], size[0], device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    for hook in hooks:
        hook.remove()
    return float(counter.get_total_flops()), float(3 * 2 * sum(moved))


def random_photos(size: tuple[int, int], count: int) -> CarvanaDataset:
    generator = np.random.default_rng(0)
    width, height = size
    images = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    masks = generator.integers(0, 2, (count, height, width), dtype=np.uint8) * 255
    return CarvanaDataset([Pair(f"{0:012x}_01", Path(), Path())] * count, size, (images, masks))


def open_packs(packs: Packs, size: tuple[int, int], smoke: bool) -> tuple[CarvanaDataset, CarvanaDataset]:
    """Training and validation photos in the memory of the GPU, validation masks there at their own size."""
    train, scored = (packs.pairs(folds)[: 4 if smoke else None] for folds in (TRAINING_FOLDS, [VALIDATION_FOLD]))
    datasets = packs.dataset(train, size), packs.dataset(scored, size)
    for dataset in datasets:
        dataset.keep_on(best_device())
    datasets[1].keep_masks(best_device())
    return datasets


def validation(packs: Packs, smoke: bool) -> dict[str, object]:
    """The share of an epoch of `small` that scoring the validation photos takes."""
    config = smaller(SMALL) if smoke else SMALL
    train, scored = open_packs(packs, config.size, smoke)
    trainer = Trainer(replace(config, epochs=9), len(train))
    epoch = seconds(lambda: take_steps(trainer, train, trainer.steps_per_epoch), 1)
    scoring = seconds(lambda: trainer.validate(scored), 3)
    return {
        "train_photos": len(train),
        "scored_photos": len(scored),
        "train_seconds": epoch,
        "scoring_seconds": scoring,
        "share": scoring / (epoch + scoring),
    }


def device(packs: Packs, smoke: bool) -> dict[str, object]:
    """Pixels of 50 photos that count differently on the GPU than on the CPU, in float32.

    `different`: net and counting there. `counted_differently`: the same logits, from the CPU, counted there.
    """
    config = smaller(SMALL) if smoke else SMALL
    pairs = packs.pairs([VALIDATION_FOLD])[: 2 if smoke else 50]
    there, here = (packs.dataset(pairs, config.size) for _ in range(2))
    there.keep_on(best_device()), there.keep_masks(best_device())
    torch.manual_seed(0)
    model = config.build_model().eval() if smoke else load_pretrained("small")[0]
    on_cpu = evaluate(model, here, outlines=False, precision="float32").counts
    logits = torch.cat([predict_logits(model, here.batch([i])[0], precision="float32") for i in range(len(pairs))])
    maps = ((list(part), logits[part].to(best_device())) for part in np.array_split(range(len(pairs)), 2))
    counted = score(maps, 0.0, there, False, len(pairs), None).counts
    on_device = evaluate(model.to(best_device()), there, outlines=False, precision="float32").counts
    changed = {"different": on_device, "counted_differently": counted}
    found = {name: int((on_cpu - counts).abs().sum()) // 2 for name, counts in changed.items()}
    return {"photos": len(pairs), "pixels": int(on_cpu.sum()), **found}


def goals(packs: Packs, smoke: bool) -> dict[str, object]:
    """Dice and seconds of each recipe, and the quickest recipe for each goal.

    Seconds count from decoded photos, and hold everything else: making the net, recording the graphs, scoring.
    """
    rows: dict[str, dict[str, object]] = {}
    kept: dict[tuple[int, int], tuple[CarvanaDataset, CarvanaDataset]] = {}
    for name, recipe in RECIPES.items():
        stages = [smaller(config) if smoke else config for config in recipe]
        for config in stages:
            if config.size not in kept:
                kept[config.size] = open_packs(packs, config.size, smoke)
        gc.collect()
        began, weights = time.perf_counter(), None
        for config in stages:
            train, scored = kept[config.size]
            trainer = Trainer(config, len(train))
            if weights is not None:
                trainer.model.load_state_dict(weights)
            take_steps(trainer, train, trainer.total_steps)
            weights = trainer.trained_model().state_dict()
        score = dice(trainer.validate(scored).counts).item()
        rows[name] = {"dice": score, "seconds": time.perf_counter() - began, "stages": [asdict(one) for one in stages]}
        print(name, score, rows[name]["seconds"], flush=True)
    reached = {goal: [name for name, row in rows.items() if row["dice"] >= goal] for goal in GOALS}
    quickest = {
        str(goal): min(names, key=lambda name: rows[name]["seconds"]) for goal, names in reached.items() if names
    }
    return {"goals": [str(goal) for goal in GOALS], "recipes": rows, "quickest": quickest}


if __name__ == "__main__":
    main()
