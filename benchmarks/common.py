"""What the benchmarks share: paths, the machine that measured, the file of results."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from itertools import islice
from pathlib import Path

import torch

from carvana_lib.cli.report import write_json
from carvana_lib.data import CarvanaDataset
from carvana_lib.run.fit import draw_batches
from carvana_lib.training import Trainer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SAMPLE = ROOT / "data" / "sample"
SIZE = (240, 160)  # width and height of the photos in most measurements


def command_line(description: str | None, json: str | None = None) -> argparse.ArgumentParser:
    """A parser that shows `description` as it is; `json`: the default of `--json`, a name in benchmarks/results."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if json is not None:
        parser.add_argument(
            "--json", type=Path, default=RESULTS / json, help="the file of results (default: %(default)s)"
        )
    return parser


def write(path: Path, results: dict[str, object]) -> None:
    """Write the results and the machine they were measured on."""
    write_json(path, {"machine": machine(), **results})
    print(f"Written to {path}", flush=True)


def take_steps(trainer: Trainer, dataset: CarvanaDataset, count: int) -> None:
    """Train for `count` steps, epoch after epoch."""
    while count > 0:
        count -= sum(1 for _ in islice(trainer.epoch(draw_batches(trainer, dataset)), count))
        if trainer.steps_done == trainer.steps_per_epoch:
            trainer.epochs_done, trainer.steps_done = trainer.epochs_done + 1, 0


def machine() -> dict[str, object]:
    """The processor, its threads, the GPU and the versions."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def peak_gb() -> float:
    """The most memory that this process has used, in GB."""
    import resource  # Windows has no such module

    unit = 1e6 if sys.platform == "linux" else 1e9  # Linux counts in kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
