"""Kill a training at random moments, resume it, and compare it with a training that was never killed.

    python -m benchmarks.reliability.kills [--count 30] [--seed 0] [--json FILE]

A third of the kills come at any moment, a third while a checkpoint is being written, and a third between
the two renames that put the checkpoint in place. To make the last two likely, the training that will be killed
writes its checkpoints slowly; the resumed training does not. Each kill is a SIGKILL from another process.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from safetensors import safe_open

from carvana_lib.base import files
from carvana_lib.base.files import temporary_file
from carvana_lib.config import TrainConfig
from carvana_lib.run.checkpoint import LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, load_checkpoint
from carvana_lib.run.fit import fit
from carvana_lib.run.weights import BEST_WEIGHTS

from ..common import SAMPLE, command_line, write

KINDS = ("any moment", "while writing", "between renames")
CONFIG = TrainConfig(
    size=(48, 32),
    base_channels=4,
    depth=2,
    epochs=3,
    train_cars=5,
    precision="float32",
    ema_decay=0.9,
    colour=0.1,
    log_every=1,
    checkpoint_minutes=0.0,  # a checkpoint after every step
)


def train(config: TrainConfig, data: str, out: str, slowly: bool = False) -> None:
    """Train in this process, which runs nothing else."""
    torch.set_num_threads(1)
    if slowly:
        slow_down()
    fit(config, data, out, resume=True, progress=False)


def slow_down() -> None:
    """In this process, write checkpoints in ten pieces and pause between the two renames."""
    save, rename = torch.save, os.replace

    def save_slowly(state: object, path: Path) -> None:
        buffer = io.BytesIO()
        save(state, buffer)
        data = buffer.getvalue()
        with open(path, "wb", buffering=0) as file:
            for start in range(0, len(data), len(data) // 10 + 1):
                file.write(data[start : start + len(data) // 10 + 1])
                time.sleep(0.01)

    def rename_slowly(source: Path, target: Path) -> None:
        rename(source, target)
        if Path(target).name == PREVIOUS_CHECKPOINT:
            time.sleep(0.1)

    torch.save, files.os.replace = save_slowly, rename_slowly


def half_written(out: Path) -> bool:
    temporary = temporary_file(out / LAST_CHECKPOINT)
    return temporary.exists() and temporary.stat().st_size > 0


def between_renames(out: Path) -> bool:
    return (out / PREVIOUS_CHECKPOINT).exists() and not (out / LAST_CHECKPOINT).exists()


def start(*arguments: object) -> BaseProcess:
    """`train` in a new process."""
    context = multiprocessing.get_context("forkserver")
    # torch imports _dynamo when the first optimizer is made, which takes longer than the training.
    context.set_forkserver_preload(["carvana_lib.training", "accelerate", "torch.utils.tensorboard", "torch._dynamo"])
    process = context.Process(target=train, args=arguments)
    process.start()
    return process


def kill_and_resume(
    kind: str, checkpoints: int, pause: float, config: TrainConfig, data: Path, out: Path
) -> dict[str, object]:
    """Kill a training, resume it to its end, and report what the kill left on the disk.

    Args:
        kind: one of KINDS.
        checkpoints: the kill waits until so many have been written.
        pause: seconds to wait after that, for kills at any moment.
    """
    process = start(config, str(data), str(out), True)
    seen: set[int] = set()

    def now() -> bool:
        with suppress(FileNotFoundError):
            seen.add((out / LAST_CHECKPOINT).stat().st_mtime_ns)
        return (
            len(seen) >= checkpoints
            and {
                "any moment": True,
                "while writing": half_written(out),
                "between renames": between_renames(out),
            }[kind]
        )

    while not now():
        if not process.is_alive():
            raise RuntimeError(f"the training ended with {process.exitcode} before it could be killed")
        time.sleep(0.001)
    time.sleep(pause if kind == "any moment" else 0)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = {"half_written": half_written(out), "between_renames": between_renames(out)}
    resumed = start(config, str(data), str(out))
    resumed.join()
    return {"kind": kind, "killed": process.exitcode == -signal.SIGKILL, **left, "resumed": resumed.exitcode == 0}


def state(out: Path) -> dict[str, object]:
    """What must be equal in two runs: every tensor, the scores of every epoch, the names of the files."""
    checkpoint = load_checkpoint(out)
    history = [[row[name] for name in ("epoch", "loss", "dice", "iou")] for row in checkpoint["history"]]
    tensors = {
        (name, key): tensor.numpy().tobytes()
        for name in ("model", "average")
        for key, tensor in checkpoint["parts"][name].items()
    }
    with safe_open(out / BEST_WEIGHTS, framework="pt") as file:
        # The bytes of the file may differ: the order of the settings in it is not fixed.
        best = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
        noted = dict(file.metadata())
    names = sorted(entry.name for entry in out.iterdir())
    return {"history": history, "tensors": tensors, "best": best, "noted": noted, "names": names}


def main() -> None:
    parser = command_line(__doc__, "kills.json")
    parser.add_argument("--data", type=Path, default=SAMPLE)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        process = start(CONFIG, str(options.data), str(whole))
        process.join()
        expected = state(whole)
        steps = CONFIG.epochs * load_checkpoint(whole)["steps_per_epoch"]
        for number in range(options.count):
            out = Path(scratch) / str(number)
            checkpoints, pause = rng.randint(1, steps - 4), rng.uniform(0, 0.5)
            kill = kill_and_resume(KINDS[number % 3], checkpoints, pause, CONFIG, options.data, out)
            kill = {**kill, "checkpoints": checkpoints, "equal": state(out) == expected}
            kills.append(kill)
            print(json.dumps(kill), flush=True)
    counts = {name: sum(kill[name] for kill in kills) for name in ("killed", "resumed", "equal")}
    in_write = sum(kill["half_written"] or kill["between_renames"] for kill in kills)
    summary = {"kills": len(kills), **counts, "inside_a_checkpoint_write": in_write, "steps": steps}
    print(json.dumps(summary))
    write(options.json, {**summary, "each": kills})
    if counts["equal"] < len(kills):
        raise SystemExit("a resumed training ended with other weights")


if __name__ == "__main__":
    main()
