"""A training run: everything that changes while training, and how one step changes it."""

from __future__ import annotations

import hashlib
import math
import typing
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from ..base.devices import is_out_of_memory
from ..base.errors import CarvanaError
from ..config import TrainConfig
from ..data import CarvanaDataset, Pair
from ..evaluation import Evaluation, evaluate
from ..losses import LOSSES
from ..metrics import accuracy, dice, iou
from ..training import average_weights, make_optimizer, make_schedule
from ..transforms import Augment, DRAWS, normalise
from .alarms import check_losses, check_weights
from .checkpoint import save_checkpoint
from .history import History, METRICS, write_curves, write_metrics
from .weights import BEST_WEIGHTS, best_dice, save_weights, start_weights

if typing.TYPE_CHECKING:
    from accelerate import Accelerator

_SEED_STRIDE = 1_000_003  # keeps the random streams of neighbouring seeds apart


class Run:
    """One training: net, optimizer, schedule, history and position, in one of the processes that train it."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, photos: int, photo_names: str = "") -> None:
        """`photos` to train on; `photo_names` is their `sum_of_names`, which has to stay the same for a resume."""
        parts = accelerator.num_processes * config.accumulate
        self.batch_size = min(config.batch_size, photos // parts * parts)
        if config.batch_size % parts or self.batch_size == 0:
            cure = f"choose a multiple of {parts}" if config.batch_size % parts else "use fewer of them, or more photos"
            raise CarvanaError(
                f"batch_size={config.batch_size} for {photos} photos cannot be shared by processes x accumulate = "
                f"{accelerator.num_processes} x {config.accumulate}: {cure}"
            )
        self.config, self.accelerator = config, accelerator
        self.photos, self.photo_names = photos, photo_names
        # Photos that do not fill a last batch are left out; every epoch draws others.
        self.steps_per_epoch = photos // self.batch_size
        self.total_steps = config.epochs * self.steps_per_epoch
        torch.manual_seed(config.seed)
        self.model = config.build_model().to(accelerator.device)
        self.model.recompute = config.recompute
        if config.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.average = average_weights(self.model, config.ema_decay) if config.ema_decay else None
        optimizer = make_optimizer(self.model, config)
        self.schedule = make_schedule(optimizer, config, self.total_steps)
        # "reduce-overhead" replays a whole step as one CUDA graph.
        mode = "reduce-overhead" if config.cuda_graphs else "default"
        compiled = torch.compile(self.model, mode=mode) if config.compile else self.model
        # From here on accelerate runs the forward pass in the chosen precision, over all processes.
        self.forward, self.optimizer = accelerator.prepare(compiled, optimizer)
        self.loss_function = LOSSES[config.loss]
        self.augment = Augment(config.flip, config.rotate, config.scale, config.shift, config.colour, config.warped)
        self.epoch = self.step = 0
        self.loss_sum, self.best_dice = 0.0, -1.0
        self.seconds = 0.0  # that the steps of this epoch took, also before a stop
        self.history: History = []
        self.saved = ""  # the position of the newest checkpoint
        self.keep_last = True  # as the spare, when the next checkpoint is written

    @property
    def steps_done(self) -> int:
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def position(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step}"

    @property
    def at_once(self) -> int:
        """Photos that go through the net at once, in each process."""
        return self.batch_size // self.accelerator.num_processes // self.config.accumulate

    @property
    def mean_loss(self) -> float:
        return self.loss_sum / max(1, self.step)

    @property
    def at_look(self) -> bool:
        """Whether the loss is looked at now; in between, nothing waits for the device."""
        return self.step % self.config.log_every == 0 or self.step == self.steps_per_epoch

    def train_step(self, train: CarvanaDataset, order: torch.Tensor) -> tuple[list[str], torch.Tensor]:
        """One optimizer step; returns the batch's photo names and its loss, still on the device."""
        config, accelerator = self.config, self.accelerator
        self.forward.train()
        indices = order[self.step * self.batch_size :][: self.batch_size]
        # The random numbers depend on seed and step alone: they are the same after a resume and for
        # any number of processes, and no generator needs saving.
        generator = torch.Generator().manual_seed(config.seed * _SEED_STRIDE + self.steps_done)
        draws = torch.rand((len(indices), DRAWS), generator=generator)
        mine = slice(accelerator.process_index, None, accelerator.num_processes)
        losses = []
        for chosen, numbers in zip(
            indices[mine].tensor_split(config.accumulate), draws[mine].tensor_split(config.accumulate), strict=True
        ):
            batch = (part.to(accelerator.device, non_blocking=True) for part in train.batch(chosen.tolist()))
            images, masks = (part.float() / 255 for part in batch)
            if not config.soft_masks:
                masks = (masks > 0.5).float()
            images, masks = self.augment.apply(images, masks, numbers.to(accelerator.device))
            inputs = normalise(images)
            if config.channels_last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            with accelerator.accumulate(self.forward):
                loss = self.loss_function(self.forward(inputs), masks)
                accelerator.backward(loss)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(loss.detach())
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return [train.pairs[i].name for i in indices.tolist()], torch.stack(losses).mean()

    def add_losses(self, steps: list[tuple[list[str], torch.Tensor]], out: Path) -> None:
        """Add up the losses since the last look; CarvanaError if one is not usable."""
        losses = self.accelerator.reduce(torch.stack([loss for _, loss in steps]), "mean").tolist()
        check_losses(losses, [names for names, _ in steps], self.epoch + 1, out)
        self.loss_sum += sum(losses)

    def any_process(self, flag: bool) -> bool:
        """Whether `flag` is set in any process, so that all of them stop at the same step."""
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device), "sum"))

    def trained_model(self) -> nn.Module:
        """The net to validate and keep, in float32: the averaged weights if there are any."""
        source = self.model if self.average is None else self.average.module
        model = self.config.build_model().to(self.accelerator.device)
        model.load_state_dict(source.state_dict())
        return model.eval()

    def validate(self, validation: CarvanaDataset, progress: bool) -> Evaluation:
        """Every photo of `validation` scored once, whatever the number of processes."""
        accelerator = self.accelerator
        mine = range(accelerator.process_index, len(validation), accelerator.num_processes)
        # Without gradients twice the photos of a step fit; a CPU has its own best number.
        at_once = None if accelerator.device.type == "cpu" else min(32, 2 * self.at_once)
        part = evaluate(
            self.trained_model(), validation, batch_size=at_once, outlines=False, indices=mine, progress=progress
        )
        counts = torch.zeros(len(validation), 4, dtype=torch.int64, device=accelerator.device)
        counts[list(mine)] = part.counts.to(accelerator.device)
        counts = accelerator.reduce(counts, "sum").cpu()
        return Evaluation([pair.name for pair in validation.pairs], counts, part.boundary_errors)

    def finish_epoch(self, scores: Evaluation, speed: dict[str, float]) -> None:
        """Add the epoch to the history and go to the start of the next one."""
        counts = scores.counts
        values = {"dice": dice(counts).item(), "accuracy": accuracy(counts).item(), "iou": iou(counts).item()}
        rate = self.schedule.get_last_lr()[0]
        self.history.append({"epoch": self.epoch + 1, "learning_rate": rate, "loss": self.mean_loss, **values, **speed})
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum = self.seconds = 0.0

    def write_epoch(self, out: Path) -> None:
        """The weights if they are the best, then metrics.csv and curves, and last the checkpoint."""
        row = self.history[-1]
        if row["dice"] > self.best_dice:
            self.best_dice = row["dice"]
            save_weights(
                out / BEST_WEIGHTS, self.trained_model(), self.config, epoch=str(row["epoch"]), dice=str(row["dice"])
            )
        write_metrics(out / METRICS, self.history)
        write_curves(out / "tensorboard", row)
        self.save(out)

    def save(self, out: Path) -> None:
        """Write last.pt; only the first process does."""
        check_weights(self.model, self.epoch + 1, out)
        if self.accelerator.is_main_process:
            parts = {name: part.state_dict() for name, part in self._parts().items()}
            position = {"epoch": self.epoch, "step": self.step}
            totals = {"loss_sum": self.loss_sum, "seconds": self.seconds, "history": self.history}
            save_checkpoint(out, {"parts": parts, **position, **totals, **self._sizes()}, self.keep_last)
            self.keep_last = True
        self.saved = self.position

    def start(self) -> None:
        """Take the weights that the config's `start` names, if it names any."""
        if self.config.start:
            start_weights(self.model, self.config.start)
            if self.average is not None:
                self.average.module.load_state_dict(self.model.state_dict())

    def restore(self, state: dict[str, typing.Any], out: Path) -> None:
        """Go back to what `save` wrote to `out`. Raises CarvanaError if that was another run's."""
        for name, now in self._sizes().items():
            # Checkpoints written before a size was kept have none.
            if (then := state.get(name, now)) != now:
                raise CarvanaError(
                    "the training photos or settings are not those the run started with "
                    f"({name.replace('_', ' ')}: {then} then, {now} now): restore them, or train anew"
                )
        for name, part in self._parts().items():
            if name == "scaler" and name not in state["parts"]:
                continue  # the run began on a device that needs none
            try:
                part.load_state_dict(state["parts"][name])
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                raise CarvanaError(
                    f"the checkpoint in {out} is that of another net ({name}): restore {out}, or train anew"
                ) from error
        self.epoch, self.step = state["epoch"], state["step"]
        self.loss_sum, self.history = state["loss_sum"], state["history"]
        # Not kept at first: unknown then for the steps before the stop.
        self.seconds = state.get("seconds", math.nan if self.step else 0.0)
        # Asked of the weights themselves: they may be younger than a checkpoint that was fallen back to.
        self.best_dice = best_dice(out)
        self.saved, self.keep_last = self.position, not state["fell_back"]

    def _sizes(self) -> dict[str, int | str]:
        """What has to stay as it is for the steps of a resumed run to be the same."""
        names = ("photos", "photo_names", "batch_size", "steps_per_epoch", "total_steps")
        return {name: getattr(self, name) for name in names}

    def _parts(self) -> dict[str, typing.Any]:
        parts = {
            "model": self.model,
            "average": self.average,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.accelerator.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}


def sum_of_names(pairs: Iterable[Pair]) -> str:
    """A short SHA-256 of the names of photos, in their order."""
    return "SHA-256 " + hashlib.sha256("/".join(pair.name for pair in pairs).encode()).hexdigest()[:12]


def epoch_order(photos: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of the training photos in an epoch, from seed and epoch alone: int64 (photos,)."""
    return torch.randperm(photos, generator=torch.Generator().manual_seed(seed * _SEED_STRIDE + epoch))
