"""Train a U-Net: one loop over `accelerate`, checkpoints that resume to the bit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from tqdm.auto import tqdm

from ..base.devices import make_accelerator
from ..base.files import write_atomically
from ..config import TrainConfig
from ..data import CarvanaDataset, TRAINING_FOLDS, VALIDATION_FOLD, list_pairs
from ..prepare.cache import cached_dataset
from .alarms import check_epoch, check_masks, check_settings, check_weights, failures_in_words, net_in_words
from .folder import CONFIG, hold_run, prepare_run
from .history import History, METRICS, epoch_line, write_metrics
from .state import Run, epoch_order, sum_of_names
from .stopping import RESUME, stop_on_signal


def fit(
    config: TrainConfig,
    root: str | Path,
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train on the training folds of `root`, validate on its validation fold, fill the run folder.

    The run folder holds config.json, metrics.csv (a row an epoch), last.pt (to resume), previous.pt
    (the one before, should last.pt be damaged), best.safetensors (weights of the epoch with the
    highest validation Dice; the averaged weights if `ema_decay` is set) and TensorBoard curves. Same
    seed and same CPU give the same weights, also when training was stopped on the way and resumed.
    Training that goes wrong warns (CarvanaWarning, see `watch`).

    Args:
        out: run folder; new or empty unless `resume`.
        resume: go on from last.pt, if there is one. `accumulate`, `recompute`, `log_every` and
            `checkpoint_minutes` may have other values than before.
        on_epoch: called with the history after each epoch, to draw a live curve for instance.

    Returns:
        One dict an epoch: epoch, learning_rate, loss, dice, accuracy, iou, seconds, images_per_second.

    Raises:
        CarvanaError: unusable data (before training starts), a run that exists, a run folder that another
            process trains in, a loss that is not finite, a disk or memory that is full, a GPU that is
            gone (the last good checkpoint and weights stay).
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the state was saved.
    """
    out = Path(out)
    accelerator = make_accelerator(config)
    main, progress = accelerator.is_main_process, progress and accelerator.is_main_process
    with hold_run(out) if main else nullcontext():
        checkpoint = prepare_run(out, config, resume)
        # The first process decodes, the others find its cache.
        with accelerator.main_process_first():
            train, validation = open_datasets(config, root, progress)
        check_masks(train.masks(), "training")
        check_masks(validation.masks(), "validation")
        with net_in_words(config):
            train.keep_on(accelerator.device)
            run = Run(config, accelerator, len(train), sum_of_names([*train.pairs, *validation.pairs]))
            if checkpoint is not None:
                run.restore(checkpoint, out)
            else:
                run.start()
        if main:
            check_settings(config, run.at_once)
            write_atomically(out / CONFIG, lambda temporary: temporary.write_text(config.to_json()))
            if run.history:
                write_metrics(out / METRICS, run.history)
        train_epochs(run, train, validation, out, progress, on_epoch)
    return run.history


def train_epochs(
    run: Run,
    train: CarvanaDataset,
    validation: CarvanaDataset,
    out: Path,
    progress: bool,
    on_epoch: Callable[[History], None] | None,
) -> None:
    """The epochs that are left."""
    with failures_in_words(run, out), stop_on_signal() as stopped:
        while run.epoch < run.config.epochs:
            speed = train_epoch(run, train, out, stopped, progress)
            check_weights(run.model, run.epoch + 1, out)
            scores = run.validate(validation, progress)
            run.finish_epoch(scores, speed)
            if run.accelerator.is_main_process:
                check_epoch(run.config, run.history, scores.counts)
                run.write_epoch(out)
            run.saved = run.position
            if progress:
                tqdm.write(epoch_line(run.history[-1], run.best_dice))
            if on_epoch is not None:
                on_epoch(run.history)


def train_epoch(
    run: Run, train: CarvanaDataset, out: Path, stopped: threading.Event, progress: bool
) -> dict[str, float]:
    """The steps that are left of an epoch; returns the seconds of all its steps and photos a second."""
    config = run.config
    order = epoch_order(len(train), config.seed, run.epoch)
    saved, unchecked = time.perf_counter(), []
    began = saved - run.seconds
    title = f"Epoch {run.epoch + 1}/{config.epochs}"
    with tqdm(total=run.steps_per_epoch, initial=run.step, desc=title, unit="step", disable=not progress) as bar:
        while run.step < run.steps_per_epoch:
            unchecked.append(run.train_step(train, order))
            bar.update()
            if not (run.at_look or (stopped.is_set() and run.accelerator.num_processes == 1)):
                continue
            run.add_losses(unchecked, out)
            unchecked = []
            run.seconds = time.perf_counter() - began
            rate = run.step * run.batch_size / run.seconds
            left = (run.total_steps - run.steps_done) * run.batch_size / rate / 60
            bar.set_postfix_str(f"loss {run.mean_loss:.4f}, {rate:.1f} img/s, {left:.0f} min left")
            if run.any_process(stopped.is_set()):
                run.save(out)
                raise KeyboardInterrupt(f"stopped at {run.position}; saved: {RESUME}")
            if time.perf_counter() - saved > 60 * config.checkpoint_minutes:
                run.save(out)
                saved = time.perf_counter()
    return {"seconds": run.seconds, "images_per_second": run.step * run.batch_size / run.seconds}


def open_datasets(
    config: TrainConfig, root: str | Path, progress: bool = True
) -> tuple[CarvanaDataset, CarvanaDataset]:
    """Training and validation photos, decoded at `config.size`: every file was read once without fault."""
    train, validation = list_pairs(root, TRAINING_FOLDS), list_pairs(root, [VALIDATION_FOLD])
    if config.train_cars:
        cars = set(sorted({pair.car for pair in train})[: config.train_cars])
        train = [pair for pair in train if pair.car in cars]
    return cached_dataset(train, config.size, progress=progress), cached_dataset(
        validation, config.size, progress=progress
    )
