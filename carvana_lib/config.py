"""Every training setting in one frozen dataclass, and the named presets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from math import inf
from pathlib import Path
from typing import Annotated, Literal

from .base.bounds import Between, check_fields
from .base.errors import CarvanaError
from .losses import LOSSES
from .unet import UNet

Count = Annotated[int, Between(1, inf)]
Share = Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run. A wrong type or value raises a CarvanaError that says what is allowed."""

    size: Annotated[tuple[int, int], Between(8, inf)] = (240, 160)  # width and height in pixels that the net sees
    base_channels: Annotated[int, Between(1, 1024)] = 16  # channels of the first level
    depth: Annotated[int, Between(1, 8)] = 4  # levels below the first
    norm: Literal["batch", None] = "batch"  # after each convolution; None for none
    up: Literal["transpose", "bilinear"] = "transpose"  # how the way up doubles the size
    patch: Annotated[int, Between(1, 16)] = 1  # side of the squares of pixels that the first level takes as one
    start: str = ""  # weights to start from, a file or a run folder; empty for random ones
    classes: tuple[str, ...] = ()  # names of several classes, which the data give; empty for two, told by one logit
    loss: Literal[*LOSSES] = "bce+dice"
    soft_masks: bool = True  # False: a pixel of the smaller mask is car if more than half of it is
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: Annotated[float, Between(0, 10, ends=False)] = 2e-3  # the peak, with the one-cycle schedule
    weight_decay: Annotated[float, Between(0, inf)] = 1e-2  # adamw only
    schedule: Literal["one-cycle", "constant"] = "one-cycle"  # up over the first 15 % of the steps, then down to 0
    epochs: Annotated[int, Between(1, 1_000_000)] = 14
    batch_size: Count = 16  # photos a step, over all processes
    accumulate: Count = 1  # parts that a batch is split into, to save memory
    flip: Share = 0.5  # probability of a left-right flip
    rotate: Annotated[float, Between(0, 180)] = 0.0  # degrees, either way
    scale: Annotated[float, Between(0, 0.9)] = 0.0  # share of the size, either way; a photo cannot shrink to nothing
    shift: Share = 0.0  # share of the side, either way
    warped: Share = 1.0  # share of the photos that are rotated, scaled and shifted
    colour: Share = 0.0  # share of brightness, contrast and saturation, either way
    backdrop: Share = 0.0  # share of the photos whose car is put on a drawn background
    ema_decay: Share = 0.995  # of the averaged weights, a step; 0 switches averaging off
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"  # bf16, else fp16 (GPU) or float32 (CPU)
    channels_last: bool = True  # memory layout that most devices are fast with
    compile: bool = False  # torch.compile: faster steps after a minute of waiting
    cuda_graphs: bool = False  # on one NVIDIA GPU: the kernels of net and loss are recorded once, launched at once
    recompute: bool = False  # activations in the backward pass: big photos fit in less memory, a third slower
    train_cars: Annotated[int, Between(0, inf)] = 0  # use only the first so many training cars; 0 for all
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0  # random seed of weights, order and augmentation
    log_every: Count = 10  # steps between looks at the loss; each look waits for the device
    checkpoint_minutes: Annotated[float, Between(0, inf)] = 2.0  # at most so much work is lost in a crash

    def __post_init__(self) -> None:
        check_fields(self)
        if self.size[0] * self.size[1] > 50_000_000:
            raise CarvanaError(f"size={self.size} must be at most 50 megapixels")
        if self.cuda_graphs and self.recompute:
            raise CarvanaError("cuda_graphs=True needs recompute=False: a recorded step keeps its activations")
        if self.batch_size % self.accumulate:
            raise CarvanaError(f"batch_size={self.batch_size} must divide by accumulate={self.accumulate}")

    def build_model(self) -> UNet:
        """The U-Net of these settings, with fresh weights."""
        shape = {name: getattr(self, name) for name in ("base_channels", "depth", "norm", "up", "patch")}
        return UNet(out_channels=len(self.classes) or 1, **shape)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str | Path = "config") -> TrainConfig:
        """The settings `to_json` wrote. Raises CarvanaError for unknown keys and wrong types."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CarvanaError(f"{source} is not JSON ({error}): restore it or train again") from None
        if not isinstance(values, dict):
            raise CarvanaError(f"{source} does not hold settings: restore it or train again")
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise CarvanaError(f"{source} has settings this version does not know: {', '.join(unknown)}")
        return cls(**values)


PRESETS: dict[str, TrainConfig] = {
    # A look at training in under a minute on a laptop.
    "quick": TrainConfig(size=(144, 96), base_channels=8, learning_rate=5e-3, epochs=10, train_cars=40),
    # The protocol of the project this series started from: 240x240, hard masks, no augmentation.
    "published": TrainConfig(
        size=(240, 240),
        base_channels=64,
        loss="bce",
        soft_masks=False,
        optimizer="adam",
        learning_rate=1e-4,
        schedule="constant",
        epochs=10,
        batch_size=32,
        flip=0.0,
        ema_decay=0.0,
    ),
    # Under an hour on two cores.
    "coarse": TrainConfig(colour=0.15),
    # The weights that come with the project: one stage on real and rendered photos, in minutes on a GPU.
    "small": TrainConfig(
        size=(959, 640),
        patch=2,
        loss="boundary",
        epochs=26,
        rotate=2.0,
        scale=0.1,
        shift=0.03,
        warped=0.5,
        colour=0.3,
        ema_decay=0.999,
    ),
    # For a GPU with 40 GB or more.
    "best": TrainConfig(
        size=(960, 640),
        base_channels=32,
        depth=5,
        learning_rate=1e-3,
        epochs=40,
        rotate=3.0,
        scale=0.1,
        shift=0.05,
        colour=0.2,
        ema_decay=0.999,
    ),
}


def preset(name: str, **changes: object) -> TrainConfig:
    """A named preset with some settings changed. Raises CarvanaError for unknown names."""
    if name not in PRESETS:
        raise CarvanaError(f"no preset {name!r}: choose one of {', '.join(PRESETS)}")
    unknown = sorted(set(changes) - {field.name for field in fields(TrainConfig)})
    if unknown:
        raise CarvanaError(f"no setting {', '.join(unknown)}: see TrainConfig")
    return replace(PRESETS[name], **changes)
