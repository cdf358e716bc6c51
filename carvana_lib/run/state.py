"""A training with its record, to a checkpoint and back."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Sequence
from pathlib import Path

from ..base.devices import is_out_of_memory
from ..base.errors import CarvanaError
from ..data import Pair
from ..evaluation import Evaluation
from ..training import Trainer
from .alarms import check_weights
from .checkpoint import save_checkpoint
from .history import METRICS, History, write_curves, write_metrics
from .weights import BEST_WEIGHTS, best_dice, save_weights, start_weights


class RunState:
    """A `Trainer`, and what is known of its run."""

    def __init__(self, trainer: Trainer, train: Sequence[Pair], validation: Sequence[Pair]) -> None:
        self.trainer = trainer
        self.history: History = []  # a row for each epoch that is over
        self.loss_sum = self.seconds = 0.0  # of the steps of this epoch, also of those before a stop
        self.best_dice = -1.0  # of the weights in best.safetensors
        self.saved = ""  # the position of the newest checkpoint
        self.keep_last = True  # as the spare, when the next checkpoint is written
        # What has to stay as it is for the steps of a resumed run to be the same.
        names = "/".join(pair.name for pair in [*train, *validation])
        checksum = "SHA-256 " + hashlib.sha256(names.encode()).hexdigest()[:12]
        self.sizes = {"photos": len(train), "photo_names": checksum}
        self.sizes |= {name: getattr(trainer, name) for name in ("batch_size", "steps_per_epoch", "total_steps")}
        parts = {name: getattr(trainer, name) for name in ("model", "average", "optimizer", "schedule")}
        parts["scaler"] = trainer.accelerator.scaler
        self.parts: dict[str, typing.Any] = {name: part for name, part in parts.items() if part is not None}

    @property
    def position(self) -> str:
        return f"epoch {self.trainer.epochs_done + 1}, step {self.trainer.steps_done}"

    @property
    def where(self) -> str:
        """What the training is doing now, for the message of a failure."""
        scoring = self.trainer.steps_done == self.trainer.steps_per_epoch
        what = "while scoring" if scoring else f"step {self.trainer.steps_done + 1}"
        return f"in epoch {self.trainer.epochs_done + 1}, {what}"

    @property
    def photos_per_second(self) -> float:
        return self.trainer.steps_done * self.trainer.batch_size / self.seconds

    @property
    def bar_text(self) -> str:
        """Mean loss, speed and the minutes that are left, for the progress bar."""
        trainer, rate = self.trainer, self.photos_per_second
        steps = trainer.total_steps - trainer.epochs_done * trainer.steps_per_epoch - trainer.steps_done
        left = steps * trainer.batch_size / rate / 60
        return f"loss {self.loss_sum / trainer.steps_done:.4f}, {rate:.1f} img/s, {left:.0f} min left"

    def start(self) -> None:
        """Take the weights that the config's `start` names, if it names any."""
        trainer = self.trainer
        if trainer.config.start:
            start_weights(trainer.model, trainer.config.start, not trainer.accelerator.is_main_process)
            if trainer.average is not None:
                trainer.average.module.load_state_dict(trainer.model.state_dict())

    def finish_epoch(self, validation: Evaluation) -> None:
        """Add the epoch, with the scores of its validation, to the history; go to the start of the next epoch."""
        trainer, rate = self.trainer, self.trainer.schedule.get_last_lr()[0]
        row = {"epoch": trainer.epochs_done + 1, "learning_rate": rate, "loss": self.loss_sum / trainer.steps_done}
        speed = {"seconds": self.seconds, "images_per_second": self.photos_per_second}
        self.history.append({**row, **validation.means(), **speed})
        trainer.epochs_done, trainer.steps_done = trainer.epochs_done + 1, 0
        self.loss_sum = self.seconds = 0.0

    def write_epoch(self, out: Path) -> None:
        """Write the weights if they are the best, then metrics.csv and curves, and the checkpoint last."""
        row = self.history[-1]
        if row["dice"] > self.best_dice:
            self.best_dice = row["dice"]
            notes = {name: str(row[name]) for name in ("epoch", "dice")}
            save_weights(out / BEST_WEIGHTS, self.trainer.trained_model(), self.trainer.config, **notes)
        write_metrics(out / METRICS, self.history)
        write_curves(out / "tensorboard", row)
        self.save(out)

    def save(self, out: Path) -> None:
        """Write last.pt; only the first process does. Raises CarvanaError if weights are infinite."""
        trainer = self.trainer
        check_weights(trainer.model, trainer.epochs_done + 1, out)
        if trainer.accelerator.is_main_process:
            parts = {name: part.state_dict() for name, part in self.parts.items()}
            position = {"epoch": trainer.epochs_done, "step": trainer.steps_done}
            totals = {"loss_sum": self.loss_sum, "seconds": self.seconds, "history": self.history}
            save_checkpoint(out, {"parts": parts, **position, **totals, **self.sizes}, self.keep_last)
            self.keep_last = True
        self.saved = self.position

    def restore(self, checkpoint: dict[str, typing.Any], out: Path) -> None:
        """Go back to what `save` wrote to `out`. Raises CarvanaError if another run wrote it."""
        for name, now in self.sizes.items():
            if (then := checkpoint.get(name)) != now:
                what = f"{name.replace('_', ' ')}: {then} then, {now} now"
                cure = "restore them, or train again from the start"
                raise CarvanaError(
                    f"the training photos or settings are not those the run started with ({what}): {cure}"
                )
        for name, part in self.parts.items():
            if name == "scaler" and name not in checkpoint["parts"]:
                continue  # the run began on a device that needs none
            try:
                part.load_state_dict(checkpoint["parts"][name])
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                cure = f"restore {out}, or train again from the start"
                raise CarvanaError(f"the checkpoint in {out} belongs to another net ({name}): {cure}") from error
        trainer = self.trainer
        trainer.epochs_done, trainer.steps_done = checkpoint["epoch"], checkpoint["step"]
        self.loss_sum, self.seconds, self.history = (checkpoint[name] for name in ("loss_sum", "seconds", "history"))
        # The weights say it themselves: they may be younger than a checkpoint that was fallen back to.
        self.best_dice = best_dice(out)
        self.saved, self.keep_last = self.position, not checkpoint["fell_back"]
