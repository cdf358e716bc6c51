"""Training that goes wrong says so, in one line that names the cure.

What makes a training useless ends it with a CarvanaError; what only looks wrong is a CarvanaWarning.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..base.devices import is_out_of_memory
from ..base.errors import CarvanaError, CarvanaWarning, reason
from ..config import TrainConfig
from .checkpoint import LAST_CHECKPOINT
from .history import History

_USUAL_RATES = (1e-6, 0.1)  # Adam and AdamW; outside, nothing is learned or nothing is kept
_LEARNED = 0.9  # from this Dice on a loss that stays level is no fault
_GPU_GONE = ("CUDA", "CUDNN", "CUBLAS", "HIP ", "NCCL", "MPS ")
_PARTNER_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")


def warn(message: str) -> None:
    warnings.warn(message, CarvanaWarning, stacklevel=3)


def check_settings(config: TrainConfig, at_once: int) -> None:
    """Warn of settings that are allowed, but not together or not for this net.

    `at_once` photos go through the net at once, in each process. Raises CarvanaError if batch norm would have a single
    value of each channel to norm with.
    """
    low, high = _USUAL_RATES
    if not low <= config.learning_rate <= high:
        far = "above" if config.learning_rate > high else "below"
        warn(f"learning_rate={config.learning_rate:g} is far {far} what {config.optimizer} learns with: try 1e-3")
    if config.norm != "batch" or at_once > 1:
        return
    if max(config.size) <= config.patch * 2**config.depth:
        where = f"a single pixel on the deepest level (size={config.size}, depth={config.depth})"
        cure = "choose a larger batch_size or size, or norm=None"
        raise CarvanaError(f"batch norm cannot work on one photo at a time that is {where}: {cure}")
    cure = "choose a larger batch_size, less accumulate, or norm=None"
    warn(f"batch norm sees one photo at a time, so its averages are of that photo alone: {cure}")


def check_masks(masks: np.ndarray, fold: str, classes: Sequence[str] = ()) -> None:
    """CarvanaError unless some mask of uint8 (N, H, W) in 0..255 holds both car and background.

    Of several classes, masks are (N, C, H, W): at least two must be there, and each that is not is a warning.
    """
    if classes:
        return _check_classes(masks, fold, classes)
    # Almost always the first one does.
    if any(mask.min() < 128 <= mask.max() for mask in masks):
        return
    highest, lowest = max(mask.max() for mask in masks), min(mask.min() for mask in masks)
    what = "background" if highest < 128 else "car" if lowest >= 128 else "background or car"
    scale = f" (their highest value is {highest}: car must be 255)" if 0 < highest < 128 else ""
    cure = "see `carvana check-data` and correct the masks"
    raise CarvanaError(f"every {fold} mask is {what} alone{scale}: there is nothing to tell apart; {cure}")


def _check_classes(masks: np.ndarray, fold: str, classes: Sequence[str]) -> None:
    there = np.zeros(len(classes), bool)
    for mask in masks:
        there |= (mask >= 128).any((1, 2))
        if there.all():
            return
    missing = ", ".join(name for name, found in zip(classes, there, strict=True) if not found)
    cure = "see `carvana check-data --describe`"
    if there.sum() < 2:
        raise CarvanaError(f"every {fold} mask is of a single class: there is nothing to tell apart; {cure}")
    warn(f"the class {missing} fills half a pixel in no {fold} mask: it is not learned, or has no score; {cure}")


def check_losses(losses: Sequence[float], names: Sequence[Sequence[str]], epoch: int, out: Path) -> None:
    """CarvanaError for the first loss that cannot be, with the photos (`names`) of its step."""
    for loss, photos in zip(losses, names, strict=True):
        where = f"in epoch {epoch} on the photos {' '.join(photos)}"
        if not math.isfinite(loss):
            cure = f"look at those files, or lower learning_rate; {_kept(out)}"
            raise CarvanaError(f"the loss became {loss} {where}: {cure}")
        # Rounding takes the Dice loss of a perfect mask a little below 0.
        if loss < -1e-4:
            cure = "only masks outside 0 to 1 do that; divide masks of 0 to 255 by 255"
            raise CarvanaError(f"the loss fell below 0, to {loss:.4g}, {where}: {cure}")


def check_weights(model: nn.Module, epoch: int, out: Path) -> None:
    """CarvanaError unless all weights are finite: a gradient may overflow where the loss does not."""
    if not torch.stack([weight.isfinite().all() for weight in model.parameters()]).all():
        raise CarvanaError(f"weights became infinite in epoch {epoch}: lower learning_rate; {_kept(out)}")


def _kept(out: Path) -> str:
    there = (out / LAST_CHECKPOINT).exists()
    return f"the last good state is kept in {out}" if there else f"nothing was saved in {out} yet"


def check_epoch(config: TrainConfig, history: History, counts: torch.Tensor) -> None:
    """Warn when the net learns nothing. `history` holds the epoch that just ended, `counts` are of its validation."""
    epoch, rate = len(history), f"learning_rate={config.learning_rate:g}"
    if config.classes:
        predicted = dict(zip(config.classes, counts.sum((0, 1)), strict=True))
    else:
        tp, fp, fn, tn = counts.sum(0)
        predicted = {"background": fn + tn, "car": tp + fp}
    for what, pixels in predicted.items():
        # After a first epoch of few steps the averaged weights may not have moved yet.
        if epoch > 1 and pixels == sum(predicted.values()):
            warn(f"epoch {epoch}: the net calls every validation photo {what} from edge to edge: {rate} may not fit")
    losses = [row["loss"] for row in history]
    if epoch < 3 or max(row["dice"] for row in history) > _LEARNED or losses[-1] <= 0.98 * losses[0]:
        return
    if losses[-1] > 1.02 * losses[0]:
        warn(f"epoch {epoch}: the loss rose from {losses[0]:.4f} to {losses[-1]:.4f}: lower {rate}")
    else:
        what = f"the loss does not fall ({losses[0]:.4f} at first, {losses[-1]:.4f} now)"
        warn(f"epoch {epoch}: {what}: raise {rate}, or check that masks belong to photos (`carvana check-data`)")


def name_failure(
    error: Exception, where: str, saved: str, config: TrainConfig, batch_size: int, processes: int
) -> CarvanaError | None:
    """What a device does when it is full or gone, as an error that says how to go on; None for anything else.

    `where` says what the training did, `saved` what is saved. `batch_size` counts the photos of all processes.
    """
    what = reason(error)
    if is_out_of_memory(error):
        return CarvanaError(f"out of memory {where} with {_smaller(config, batch_size, processes)}. {saved}")
    if "C++ compiler" in str(error):
        cure = "install one, or train with compile=False (--no-compile)"
        return CarvanaError(f"compile=True needs a C++ compiler: {cure}. {saved}")
    if isinstance(error, getattr(torch, "AcceleratorError", ())) or any(word in what for word in _GPU_GONE):
        cure = "see whether nvidia-smi still shows it, restart the kernel or the machine if not"
        return CarvanaError(f"the GPU failed {where} ({what}): {cure}. {saved}")
    if any(word in what for word in _PARTNER_GONE):
        return CarvanaError(f"another process of this training ended {where}: see its message. {saved}")
    return None


@contextmanager
def net_must_fit(config: TrainConfig) -> Iterator[None]:
    """Turn a net that finds no memory into a CarvanaError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        net = f"a net of base_channels={config.base_channels} and depth={config.depth}"
        raise CarvanaError(f"no memory for {net}: lower them, or end other programs") from error


def _smaller(config: TrainConfig, batch_size: int, processes: int) -> str:
    """The sizes that did not fit, what to resume with, and what to train again with from the start."""
    parts = processes * config.accumulate
    resume, restart = [], []
    if not config.recompute:
        resume.append("recompute=True")
    # With fewer photos than a batch, the batch must stay what it was too.
    candidates = range(config.accumulate + 1, config.batch_size + 1)
    sizes = (config.batch_size, batch_size)
    more = next((n for n in candidates if all(size % (n * processes) == 0 for size in sizes)), None)
    if more:
        resume.append(f"accumulate={more} (batch norm then sees {batch_size // (processes * more)} photos)")
    if batch_size > parts:
        restart.append(f"batch_size={max(parts, batch_size // 2 // parts * parts)}")
    width, height = config.size
    restart.append(f"size={max(8, width // 2)}x{max(8, height // 2)}")
    return (
        f"batch_size={config.batch_size}, {batch_size // parts} photos at a time, at {width}x{height}: "
        f"{'resume with ' + ' or '.join(resume) + ', or ' if resume else ''}"
        f"train again from the start with {' or '.join(restart)}"
    )
