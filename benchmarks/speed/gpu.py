"""Speed on a GPU: photos a second, their share of what the chip could do, and the time to Dice 0.991.

    python -m benchmarks.speed.pack --data ROOT --out build/carvana_pack.npz   # where the data are
    python -m benchmarks.speed.gpu --pack build/carvana_pack.npz               # where the GPU is

Without --pack, only speed is measured, on random pictures. Each part writes its own JSON file when it is done.
`--smoke` runs everything at a tiny size, also on a CPU, to check that it works.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from carvana_lib.base.devices import best_device
from carvana_lib.cli.report import write_json
from carvana_lib.config import TrainConfig
from carvana_lib.data import CarvanaDataset, Pair
from carvana_lib.metrics import dice
from carvana_lib.training import Trainer

from ..common import RESULTS, command_line, machine, take_steps
from .pack import PackedDataset
from .usual import usual_step

GOAL = 0.991


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--compile", action="store_true", help="torch.compile the net; the time to compile is included")
    parser.add_argument("--cuda-graphs", action="store_true", help="with --compile, replay steps as CUDA graphs")
    parser.add_argument("--epochs", type=int, default=14, help="of the run to Dice 0.991")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    chip = {"machine": machine(), "peak": peak(1024 if options.smoke else 8192)}
    for size, batch in (((240, 160), 64), ((480, 320), 16)):
        row = throughput(size, 4 if options.smoke else 64, 2 if options.smoke else batch, options)
        row["roofline"] = roofline(row, chip["peak"])
        row |= chip
        report(options.out / f"gpu_{size[0]}x{size[1]}.json", row)
    if options.pack:
        report(options.out / "gpu_time_to_dice.json", chip | time_to_dice(options))


def report(path: Path, row: dict[str, object]) -> None:
    write_json(path, row)
    print(path, {name: value for name, value in row.items() if name != "machine"}, flush=True)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Mean seconds of one call of `work`, after one call to warm up."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    work(), wait()
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - began) / repeats


def peak(side: int) -> dict[str, float]:
    """The most that this chip does, measured with bf16 matrix products and with copies in memory."""
    device = best_device()
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    big = torch.empty(side * side * 4, device=device)
    copied = torch.empty_like(big)
    return {
        "flops_per_second": 2 * side**3 / seconds(lambda: a @ b, 10),
        "bytes_per_second": 2 * big.nbytes / seconds(lambda: copied.copy_(big), 10),
    }


def throughput(size: tuple[int, int], base_channels: int, batch: int, options: argparse.Namespace) -> dict[str, object]:
    """Training photos a second in our way and in the usual way; peak memory of our way."""
    config = TrainConfig(
        size=size,
        base_channels=base_channels,
        batch_size=batch,
        compile=options.compile,
        cuda_graphs=options.cuda_graphs,
        loss="bce",
    )
    dataset, device, steps = random_photos(size, 4 * batch), best_device(), 2 if options.smoke else 30
    dataset.keep_on(device)
    trainer = Trainer(config, len(dataset))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ours_rate = batch / seconds(lambda: take_steps(trainer, dataset, 1), steps)
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    model = config.build_model().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    images, masks = (part.to(device).float().contiguous() / 255 for part in dataset.batch(list(range(batch))))
    usual_rate = batch / seconds(lambda: usual_step(model, optimizer, images, masks), steps)
    flops, traffic = work_per_photo(config.build_model().to(device), size)
    return {
        "size": size,
        "base_channels": base_channels,
        "batch": batch,
        "photos_per_second": ours_rate,
        "usual_photos_per_second": usual_rate,
        "ratio": ours_rate / usual_rate,
        "peak_memory_gb": memory,
        "flops_per_photo": flops,
        "bytes_per_photo": traffic,
    }


def roofline(row: dict[str, object], best: dict[str, float]) -> dict[str, float]:
    """The share of the possible speed. The slower of two limits it: computing, or moving bytes."""
    slowest = max(row["flops_per_photo"] / best["flops_per_second"], row["bytes_per_photo"] / best["bytes_per_second"])
    return {"possible_photos_per_second": 1 / slowest, "share": row["photos_per_second"] * slowest}


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


def time_to_dice(options: argparse.Namespace) -> dict[str, object]:
    """Seconds from decoded photos to Dice 0.991 on the validation cars. Compiling and scoring are included."""
    with np.load(options.pack) as pack:
        train, validation = PackedDataset(pack, "train"), PackedDataset(pack, "validation")
    config = TrainConfig(
        base_channels=4 if options.smoke else 32,
        epochs=1 if options.smoke else options.epochs,
        compile=options.compile,
        cuda_graphs=options.cuda_graphs,
    )
    began, rows = time.perf_counter(), []
    trainer = Trainer(config, len(train))
    train.keep_on(trainer.accelerator.device)
    for epoch in range(config.epochs):
        take_steps(trainer, train, 2 if options.smoke else trainer.steps_per_epoch)
        score = dice(trainer.validate(validation).counts).item()
        rows.append({"epoch": epoch + 1, "seconds": time.perf_counter() - began, "dice": score})
        print(rows[-1], flush=True)
        if score >= GOAL:
            break
    reached = rows[-1]["seconds"] if rows[-1]["dice"] >= GOAL else None
    return {"goal": GOAL, "seconds_to_goal": reached, "config": config.to_json(), "epochs": rows}


if __name__ == "__main__":
    main()
