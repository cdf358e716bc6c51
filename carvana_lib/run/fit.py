"""Train a U-Net and fill a run folder: which photos a step sees, when to look at the loss, when to save and stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from ..base.devices import make_accelerator
from ..base.errors import CarvanaError
from ..base.files import expanded, write_atomically
from ..base.progress import tqdm
from ..config import TrainConfig
from ..data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, list_pairs
from ..prepare.cache import cached_dataset
from ..training import Trainer
from .alarms import check_epoch, check_losses, check_masks, check_settings, check_weights, name_failure, net_must_fit
from .folder import CONFIG, hold_run, prepare_run
from .history import METRICS, History, epoch_line, write_metrics
from .state import RunState
from .stopping import RESUME, stop_on_signal

_SEED_STRIDE = 1_000_003  # keeps the random numbers of neighbouring seeds apart


def fit(
    config: TrainConfig,
    root: str | Path | Sequence[str | Path],
    out: str | Path,
    resume: bool = False,
    progress: bool = True,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train on the training folds of `root`, or of several folders, validate on their validation fold.

    The run folder holds config.json, metrics.csv (a row an epoch), last.pt (to resume), previous.pt (the checkpoint
    before, should last.pt be damaged), best.safetensors (weights of the epoch with the highest validation Dice; the
    averaged weights if `ema_decay` is set) and TensorBoard curves. The same seed on the same CPU gives the same
    weights, also after a stop and a resume. Training that goes wrong warns (CarvanaWarning, see `run.alarms`).

    Args:
        out: run folder; new or empty unless `resume`.
        resume: go on from last.pt, if there is one. `accumulate`, `recompute`, `log_every` and
            `checkpoint_minutes` may have other values than before.
        on_epoch: called with the history after each epoch, for instance to draw a live curve.

    Returns:
        One dict an epoch: epoch, learning_rate, loss, dice, accuracy, iou, seconds, images_per_second.

    Raises:
        CarvanaError: unusable data (before training starts), a run that exists or that another process trains, a loss
            that is not finite, a full disk or memory, a GPU that is gone (the last checkpoint and weights stay).
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the state was saved.
    """
    out = expanded(out)
    accelerator = make_accelerator(config.precision, config.accumulate)
    main, progress = accelerator.is_main_process, progress and accelerator.is_main_process
    with hold_run(out) if main else nullcontext():
        config = with_classes(config, root)
        checkpoint = prepare_run(out, config, resume)
        # The first process decodes, the others find its cache.
        with accelerator.main_process_first():
            train, validation = open_datasets(config, root, progress)
        check_masks(train.masks(), "training", config.classes)
        check_masks(validation.masks(), "validation", config.classes)
        with net_must_fit(config):
            train.keep_on(accelerator.device)
            if validation.keep_on(accelerator.device):
                validation.keep_masks(accelerator.device)
            state = RunState(Trainer(config, len(train), accelerator), train.pairs, validation.pairs)
            if checkpoint is None:
                state.start()
            else:
                state.restore(checkpoint, out)
        if main:
            check_settings(config, state.trainer.photos_at_once)
            write_atomically(out / CONFIG, lambda temporary: temporary.write_text(config.to_json()))
            if state.history:
                write_metrics(out / METRICS, state.history)
        train_epochs(state, train, validation, out, progress, on_epoch)
    return state.history


def with_classes(config: TrainConfig, root: str | Path | Sequence[str | Path]) -> TrainConfig:
    """`config` with the classes of the data. Raises CarvanaError if it names others."""
    classes = list_pairs(root)[0].classes
    names = classes.names if classes else ()
    if config.classes not in ((), names):
        what = f"classes={', '.join(config.classes)} are not those of the data, {', '.join(names) or 'two'}"
        raise CarvanaError(f"{what}: leave the setting out, the data give it")
    return replace(config, classes=names)


def open_datasets(
    config: TrainConfig, root: str | Path | Sequence[str | Path], progress: bool = True
) -> tuple[CarvanaDataset, CarvanaDataset]:
    """Training and validation photos, decoded at `config.size`; every file was read once without a fault."""
    train, validation = list_pairs(root, TRAINING_FOLDS), list_pairs(root, [VALIDATION_FOLD])
    if config.train_cars:
        cars = set(sorted({pair.car for pair in train})[: config.train_cars])
        train = [pair for pair in train if pair.car in cars]
    decoded = [cached_dataset(pairs, config.size, progress=progress) for pairs in (train, validation)]
    return decoded[0], decoded[1]


def train_epochs(
    state: RunState,
    train: CarvanaDataset,
    validation: CarvanaDataset,
    out: Path,
    progress: bool,
    on_epoch: Callable[[History], None] | None,
) -> None:
    """Take the epochs that are left: train, look at the weights, validate, write."""
    trainer = state.trainer
    try:
        with stop_on_signal() as stopped:
            while trainer.epochs_done < trainer.config.epochs:
                train_epoch(state, train, out, stopped, progress)
                check_weights(trainer.model, trainer.epochs_done + 1, out)
                scores = trainer.validate(validation, progress)
                state.finish_epoch(scores)
                if trainer.accelerator.is_main_process:
                    check_epoch(trainer.config, state.history, scores.counts)
                    state.write_epoch(out)
                state.saved = state.position
                if progress:
                    tqdm.write(epoch_line(state.history[-1], state.best_dice))
                if on_epoch is not None:
                    on_epoch(state.history)
    except (MemoryError, RuntimeError) as error:
        saved = f"{out} holds {state.saved}; {RESUME}" if state.saved else f"nothing was saved in {out} yet"
        processes = trainer.accelerator.num_processes
        named = name_failure(error, state.where, saved, trainer.config, trainer.batch_size, processes)
        if named is None:
            raise
        raise named from error


def train_epoch(state: RunState, train: CarvanaDataset, out: Path, stopped: threading.Event, progress: bool) -> None:
    """Take the steps that are left of an epoch; now and then look at the losses, save, and stop if asked to."""
    trainer, config, steps = state.trainer, state.trainer.config, state.trainer.steps_per_epoch
    alone = trainer.accelerator.num_processes == 1
    last_save = time.perf_counter()
    started = last_save - state.seconds  # as if the epoch had never been interrupted
    losses: list[torch.Tensor] = []  # since the last look; they stay on the device
    title = f"Epoch {trainer.epochs_done + 1}/{config.epochs}"
    with tqdm(total=steps, initial=trainer.steps_done, desc=title, unit="step", disable=not progress) as bar:
        for loss in trainer.epoch(draw_batches(trainer, train)):
            losses.append(loss)
            bar.update()
            look = trainer.steps_done % config.log_every == 0 or trainer.steps_done == steps
            if look or (alone and stopped.is_set()):
                add_losses(state, losses, train, out)
                losses = []
                state.seconds = time.perf_counter() - started
                bar.set_postfix_str(state.bar_text)
                if any_process(trainer, stopped.is_set()):
                    state.save(out)
                    raise KeyboardInterrupt(f"stopped at {state.position}; saved: {RESUME}")
                if time.perf_counter() - last_save > 60 * config.checkpoint_minutes:
                    state.save(out)
                    last_save = time.perf_counter()


def epoch_order(photos: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of the training photos in an epoch, from seed and epoch alone: int64 (photos,)."""
    return torch.randperm(photos, generator=torch.Generator().manual_seed(seed * _SEED_STRIDE + epoch))


def draw_batches(trainer: Trainer, dataset: CarvanaDataset) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches that are left of the epoch, as `Trainer.step` takes them: of each, this process's share."""
    config, accelerator = trainer.config, trainer.accelerator
    order = epoch_order(len(dataset), config.seed, trainer.epochs_done)
    mine = slice(accelerator.process_index, None, accelerator.num_processes)
    for step in range(trainer.steps_done, trainer.steps_per_epoch):
        indices = order[step * trainer.batch_size :][: trainer.batch_size]
        # The random numbers depend on seed and step alone: they are the same after a resume and for
        # any number of processes, and no generator needs saving.
        seed = config.seed * _SEED_STRIDE + trainer.epochs_done * trainer.steps_per_epoch + step
        draws = trainer.augment.draw(len(indices), torch.Generator().manual_seed(seed))
        yield trainer.prepare(*dataset.batch(indices[mine].tolist()), draws[mine])


def add_losses(state: RunState, losses: list[torch.Tensor], train: CarvanaDataset, out: Path) -> None:
    """Add up the losses of the last steps. Raises CarvanaError, with the step's photos, if one is not usable."""
    trainer = state.trainer
    values = trainer.accelerator.reduce(torch.stack(losses), "mean").tolist()
    order = epoch_order(len(train), trainer.config.seed, trainer.epochs_done).tolist()
    size, last = trainer.batch_size, trainer.steps_done
    batches = [order[step * size :][:size] for step in range(last - len(values), last)]
    check_losses(values, [[train.pairs[i].name for i in batch] for batch in batches], trainer.epochs_done + 1, out)
    state.loss_sum += sum(values)


def any_process(trainer: Trainer, flag: bool) -> bool:
    """Whether `flag` is set in any process, so that all of them stop at the same step."""
    return bool(trainer.accelerator.reduce(torch.tensor(float(flag), device=trainer.accelerator.device), "sum"))
