"""From bytes to what the net reads, and random changes to photo and mask together.

Everything works on a whole batch, on the batch's device, and each photo gets its own random numbers. They come from
a generator on the CPU, so a seed gives the same augmentation on every device.
"""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .base.backdrops import BACKDROP_DRAWS, backdrops

# The random numbers of a batch, (N,) each in [0, 1). For all but `flip` and `warp`, 0.5 is no change.
Draws = namedtuple("Draws", "flip turn size right down brightness contrast saturation warp")
DRAWS = len(Draws._fields)
_GREY = (0.299, 0.587, 0.114)


def normalise(images: Tensor) -> Tensor:
    """uint8 in 0..255, or float in [0, 1], to float32 in [-1, 1]; any shape. Other whole numbers: ValueError."""
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"photos are uint8 in 0..255 or float in 0..1, not {images.dtype}: use .to(torch.uint8)")
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    return scaled * 2 - 1


@dataclass(frozen=True)
class Augment:
    """Random flip, small affine warp and colour change for images and masks together."""

    flip: float = 0.5  # probability of a left-right flip
    rotate: float = 0.0  # largest turn in degrees, either way
    scale: float = 0.0  # largest change of size, 0.1 for 10 % smaller to 10 % larger
    shift: float = 0.0  # largest move as a share of the side
    colour: float = 0.0  # largest change of brightness, contrast and saturation, 0.2 for factors 0.8 to 1.2
    warped: float = 1.0  # share of the photos that are turned, scaled and moved; the others stay as sharp as they were
    backdrop: float = 0.0  # share of the photos whose background is replaced by a drawn one

    def __call__(self, images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change images (N, 3, H, W) and masks (N, C, H, W), float in [0, 1]; the shapes stay."""
        return self.apply(images, masks, self.draw(len(images), generator).to(images.device))

    def draw(self, photos: int, generator: torch.Generator) -> Tensor:
        """The random numbers for `apply`: float (photos, DRAWS), with backdrops (photos, DRAWS + BACKDROP_DRAWS)."""
        draws = torch.rand((photos, DRAWS), generator=generator)
        more = torch.rand((photos, BACKDROP_DRAWS), generator=generator) if self.backdrop else draws[:, :0]
        return torch.cat([draws, more], 1)

    def apply(self, images: Tensor, masks: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As a call, with the random numbers given as `draw` makes them, in [0, 1): first a column for each `Draws`."""
        draw, more = Draws(*draws[:, :DRAWS].unbind(1)), draws[:, DRAWS:]
        # Photo and mask are warped as one picture of four or more channels: they cannot drift apart.
        both = torch.cat([images, masks], dim=1)
        if self.rotate or self.scale or self.shift:
            matrices = self._matrices(draw, aspect=images.shape[-1] / images.shape[-2])
            # Interpolation of ones may round to just above 1.
            both = warp(both, matrices).clamp_(0, 1)
        elif self.flip:
            both = torch.where((draw.flip < self.flip)[:, None, None, None], both.flip(-1), both)
        images, masks = both[:, :3], both[:, 3:]
        if self.backdrop:
            front = masks if masks.shape[1] == 1 else 1 - masks[:, :1]  # of several classes, the first is background
            pasted = images * front + backdrops(images, front, more[:, 1:]) * (1 - front)
            images = torch.where((more[:, 0] < self.backdrop)[:, None, None, None], pasted, images)
        if self.colour:
            parts = (draw.brightness, draw.contrast, draw.saturation)
            images = change_colour(images, *(1 + self.colour * (2 * part - 1) for part in parts))
        return images, masks

    def _matrices(self, draw: Draws, aspect: float) -> Tensor:
        """(N, 2, 3) matrices from output to input coordinates, both in [-1, 1]: where each pixel comes from."""
        warped = draw.warp < self.warped
        moves = (draw.turn, draw.size, draw.right, draw.down)
        turn, size, right, down = (torch.where(warped, 2 * move - 1, 0.0) for move in moves)
        mirror = 1 - 2 * (draw.flip < self.flip).float()
        angle, size = turn * math.radians(self.rotate), 1 + size * self.scale
        cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
        # A side is 2 long, from -1 to 1, whatever its pixels: hence the 2 here and `aspect` below.
        right, down = 2 * right * self.shift, 2 * down * self.shift
        rows = [cos * mirror, -sin / aspect, right, sin * aspect * mirror, cos, down]
        return torch.stack(rows, dim=1).reshape(-1, 2, 3)


def warp(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Resample pictures (N, C, H, W) through (N, 2, 3) matrices; outside a picture its edge is repeated."""
    grid = F.affine_grid(matrices, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def change_colour(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Change images (N, 3, H, W) in [0, 1] by a factor of each kind for each photo, (N,); 1 changes nothing."""
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in (brightness, contrast, saturation))
    weights = torch.tensor(_GREY, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    images = images * brightness
    grey = (images * weights).sum(1, keepdim=True)
    images = grey + (images - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * contrast).clamp(0, 1)
