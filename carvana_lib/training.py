"""Training: optimizer, learning rate, averaged weights, and `Trainer`: one step, one epoch, one validation.

Nothing here knows a folder, a signal or a checkpoint: `run/fit.py` decides which photos a step sees, and when to save.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from .base.averages import AveragedWeights
from .base.devices import make_accelerator
from .base.errors import CarvanaError
from .base.graphs import record_graphs
from .config import TrainConfig
from .data import CarvanaDataset
from .evaluation import Evaluation, evaluate
from .losses import LOSSES
from .transforms import Augment, normalise
from .unet import UNet

if typing.TYPE_CHECKING:
    from accelerate import Accelerator


class Trainer:
    """A U-Net in training on a number of `photos`, in one of the processes that train it.

    Raises CarvanaError for a batch that the processes cannot share, or fewer photos than they need.
    """

    def __init__(self, config: TrainConfig, photos: int, accelerator: Accelerator | None = None) -> None:
        self.config = config
        self.accelerator = accelerator or make_accelerator(config.precision, config.accumulate)
        self.batch_size = shared_batch_size(config, photos, self.accelerator.num_processes)
        # Photos that do not fill a last batch are left out; every epoch leaves out others.
        self.steps_per_epoch = photos // self.batch_size
        self.total_steps = config.epochs * self.steps_per_epoch
        # That go through the net at once, in each process.
        self.photos_at_once = self.batch_size // self.accelerator.num_processes // config.accumulate
        self.epochs_done = self.steps_done = 0  # the position; steps of the epoch that is not over
        torch.manual_seed(config.seed)
        self.model = config.build_model().to(self.accelerator.device)
        self.model.recompute = config.recompute
        if config.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.average = AveragedWeights(self.model, config.ema_decay) if config.ema_decay else None
        optimizer = make_optimizer(self.model, config)
        self.schedule = make_schedule(optimizer, config, self.total_steps)
        self.augment = Augment(
            config.flip, config.rotate, config.scale, config.shift, config.colour, config.warped, config.backdrop
        )
        net, self.loss_function = self.model, LOSSES[config.loss]
        if config.compile:
            # "reduce-overhead" records what net and loss launch as CUDA graphs, and replays them.
            mode = "reduce-overhead" if config.cuda_graphs else "default"
            net, self.loss_function = (torch.compile(part, mode=mode) for part in (net, self.loss_function))
            self.change = torch.compile(self.change)
        # `net` is the model as accelerate runs it: in the chosen precision, over all processes.
        self.net, self.optimizer = self.accelerator.prepare(net, optimizer)
        alone = self.accelerator.device.type == "cuda" and self.accelerator.num_processes == 1
        if config.cuda_graphs and not config.compile and alone:
            images = torch.zeros(self.photos_at_once, 3, *config.size[::-1], device=self.accelerator.device)
            layout = torch.channels_last if config.channels_last else torch.contiguous_format
            recorded = record_graphs(self.net, self.loss_function, images.contiguous(memory_format=layout))
            self.net, self.loss_function = recorded

    def step(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """The five moves, then schedule and average; returns the mean loss, a scalar that stays on the device.

        Args:
            images: float32 (N, 3, H, W) in [-1, 1], this process's share of the batch, on its device.
            masks: float32 (N, 1 or C, H, W) in [0, 1].
        """
        self.net.train()
        losses = []
        # One part, unless `accumulate` saves memory: the gradients of the parts add up to those of the batch.
        for part, targets in zip(*(x.tensor_split(self.config.accumulate) for x in (images, masks)), strict=True):
            with self.accelerator.accumulate(self.net):
                logits = self.net(part)
                loss = self.loss_function(logits, targets)
                self.accelerator.backward(loss)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(loss.detach())
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return torch.stack(losses).mean()

    def prepare(
        self, images: torch.Tensor, masks: torch.Tensor, draws: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Photos and masks from memory, augmented and normalised for `step`, on the device.

        Args:
            images: uint8 (N, 3, H, W).
            masks: uint8 (N, 1 or C, H, W), 255 times the share of the pixel that is car, or each class's share.
            draws: the random numbers of the augmentation, as `Augment.draw` makes them.
        """
        device = self.accelerator.device
        return self.change(*(part.to(device, non_blocking=True) for part in (images, masks, draws)))

    def change(
        self, images: torch.Tensor, masks: torch.Tensor, draws: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `prepare` does once all three are on the device."""
        images, masks = images.float() / 255, masks.float() / 255
        if not self.config.soft_masks:
            masks = (masks > 0.5).float()
        images, masks = self.augment.apply(images, masks, draws)
        images = normalise(images)
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images, masks

    def epoch(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[torch.Tensor]:
        """Take a step for each batch, as `prepare` gives them; yields the loss after each step."""
        for images, masks in batches:
            loss = self.step(images, masks)
            self.steps_done += 1
            yield loss

    def validate(self, dataset: CarvanaDataset, progress: bool = False) -> Evaluation:
        """Score every photo of `dataset` once, whatever the number of processes."""
        accelerator = self.accelerator
        mine = range(accelerator.process_index, len(dataset), accelerator.num_processes)
        # Without gradients twice the photos of a step fit; a CPU has its own best number.
        at_once = None if accelerator.device.type == "cpu" else min(32, 2 * self.photos_at_once)
        model = self.model if self.average is None else self.average.module
        part = evaluate(model.eval(), dataset, batch_size=at_once, outlines=False, indices=mine, progress=progress)
        counts = torch.zeros(len(dataset), *part.counts.shape[1:], dtype=torch.int64, device=accelerator.device)
        counts[list(mine)] = part.counts.to(accelerator.device)
        counts = accelerator.reduce(counts, "sum").cpu()
        names, cars = [pair.name for pair in dataset.pairs], [pair.car for pair in dataset.pairs]
        return Evaluation(names, counts, part.boundary_errors, cars, part.classes)

    def trained_model(self) -> UNet:
        """A copy of the net to score and keep, in float32: with the averaged weights if there are any."""
        source = self.model if self.average is None else self.average.module
        model = self.config.build_model().to(self.accelerator.device)
        model.load_state_dict(source.state_dict())
        return model.eval()


def shared_batch_size(config: TrainConfig, photos: int, processes: int) -> int:
    """Photos a step, over all processes: `config.batch_size`, or as many as there are, in equal parts."""
    parts = processes * config.accumulate
    batch_size = min(config.batch_size, photos // parts * parts)
    if config.batch_size % parts or batch_size == 0:
        cure = f"choose a multiple of {parts}" if config.batch_size % parts else "use fewer of them, or more photos"
        what = f"processes x accumulate = {processes} x {config.accumulate}"
        raise CarvanaError(f"batch_size={config.batch_size} for {photos} photos cannot be shared by {what}: {cure}")
    return batch_size


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The config's optimizer over all parameters of `model`."""
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), config.learning_rate, fused=fused)
    return torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The config's learning rate at each of `total_steps` optimizer steps."""
    if config.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    # One step more than are taken: the schedule is stepped after the last one too.
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps + 1, pct_start=0.15)
