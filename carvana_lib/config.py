"""Every training setting in one frozen dataclass, and the named presets."""

from __future__ import annotations

import json
import math
import types
import typing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from .base.errors import CarvanaError
from .base.image_files import MOST_PIXELS
from .losses import LOSSES
from .unet import UNet

_CHOICES = {
    "loss": tuple(LOSSES),
    "norm": ("batch", None),
    "up": ("transpose", "bilinear"),
    "optimizer": ("adamw", "adam"),
    "schedule": ("one-cycle", "constant"),
    "precision": ("auto", "float32", "bf16", "fp16"),
}
_AT_LEAST_ONE = ("base_channels", "depth", "patch", "epochs", "batch_size", "accumulate", "log_every")
_AT_MOST = {"base_channels": 1024, "depth": 8, "patch": 16, "seed": 2**31 - 1, "rotate": 180.0, "epochs": 10**6}
_SHARES = ("flip", "scale", "shift", "warped", "colour", "ema_decay")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run. Saved as config.json beside the weights.

    Raises:
        CarvanaError: a value of the wrong type or outside its range, named with what is allowed.
    """

    size: tuple[int, int] = (240, 160)  # width and height in pixels that the net sees
    base_channels: int = 16  # channels of the first level
    depth: int = 4  # levels below the first
    norm: str | None = "batch"
    up: str = "transpose"
    patch: int = 1  # side of the squares of pixels that the first level takes as one
    start: str = ""  # weights to start from, a file or a run folder; empty for random ones
    loss: str = "bce+dice"
    soft_masks: bool = True  # False: a pixel of the smaller mask is car if more than half of it is
    optimizer: str = "adamw"
    learning_rate: float = 2e-3  # the peak, with the one-cycle schedule
    weight_decay: float = 1e-2  # adamw only
    schedule: str = "one-cycle"  # up over the first 15 % of the steps, then down to nothing
    epochs: int = 14
    batch_size: int = 16  # photos a step, over all processes
    accumulate: int = 1  # parts a batch is worked through in, to save memory
    flip: float = 0.5  # probability of a left-right flip
    rotate: float = 0.0  # degrees, either way
    scale: float = 0.0  # share of the size, either way
    shift: float = 0.0  # share of the side, either way
    warped: float = 1.0  # share of the photos that are rotated, scaled and shifted
    colour: float = 0.0  # share of brightness, contrast and saturation, either way
    ema_decay: float = 0.995  # of the averaged weights, a step; 0 switches averaging off
    precision: str = "auto"  # bf16 where the device has it, else fp16 on a GPU and float32 on a CPU
    channels_last: bool = True
    compile: bool = False
    cuda_graphs: bool = False  # with compile, on an NVIDIA GPU: the processor hands out a step's work at once
    recompute: bool = False  # activations on the way back: big photos fit in less memory, a third slower
    train_cars: int = 0  # use only the first so many training cars; 0 for all
    seed: int = 0
    log_every: int = 10  # steps between looks at the loss; each look waits for the device
    checkpoint_minutes: float = 2.0  # at most so much work is lost when the machine goes down

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(type(self)).items():
            object.__setattr__(self, name, _typed(name, getattr(self, name), kind))
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise CarvanaError(f"{name}={getattr(self, name)!r} is not one of {', '.join(map(str, allowed))}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise CarvanaError(f"{name}={getattr(self, name)} must be at least 1")
        for name, most in _AT_MOST.items():
            if getattr(self, name) > most:
                raise CarvanaError(f"{name}={getattr(self, name)} must be at most {most}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise CarvanaError(f"{name}={getattr(self, name)} must be from 0 to 1")
        if min(self.size) < 8:
            raise CarvanaError(f"size={self.size} must be at least 8x8 pixels")
        if self.size[0] * self.size[1] > MOST_PIXELS:
            raise CarvanaError(f"size={self.size} must be at most {MOST_PIXELS // 1_000_000} megapixels")
        if not 0 < self.learning_rate < 10:
            raise CarvanaError(f"learning_rate={self.learning_rate} must be above 0 and under 10")
        for name in ("weight_decay", "train_cars", "checkpoint_minutes", "rotate", "seed"):
            if getattr(self, name) < 0:
                raise CarvanaError(f"{name}={getattr(self, name)} must not be negative")
        if self.scale > 0.9:
            raise CarvanaError(f"scale={self.scale} must be at most 0.9: a photo cannot shrink to nothing")
        if self.cuda_graphs and not self.compile:
            raise CarvanaError("cuda_graphs=True needs compile=True")
        if self.batch_size % self.accumulate:
            raise CarvanaError(f"batch_size={self.batch_size} must divide by accumulate={self.accumulate}")

    def build_model(self) -> UNet:
        """The U-Net of these settings, with fresh weights."""
        return UNet(base_channels=self.base_channels, depth=self.depth, norm=self.norm, up=self.up, patch=self.patch)

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


def _typed(name: str, value: object, kind: object) -> object:
    """`value` as `kind`; the only changes made are int to float and list to tuple."""
    if kind == tuple[int, int]:
        if isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int for v in value):
            return tuple(value)
        raise CarvanaError(f"{name}={value!r} must be two whole numbers, width and height")
    if kind is float and type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise CarvanaError(f"{name}={value} must be a finite number")
        return number
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(value) not in allowed:
        names = " or ".join(t.__name__ for t in allowed)
        raise CarvanaError(f"{name}={value!r} must be {names}, not {type(value).__name__}")
    return value


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
    # Goes on from `coarse` (start) with sixteen times the pixels: the weights that come with the project
    # (docs/model_card.md has the commands).
    "small": TrainConfig(
        size=(959, 640),
        patch=2,
        loss="boundary",
        learning_rate=1e-3,
        epochs=8,
        batch_size=8,
        rotate=2.0,
        scale=0.1,
        shift=0.03,
        warped=0.5,
        colour=0.3,
        ema_decay=0.998,
        compile=True,
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
