"""From bytes to what the net reads, and random changes to photo and mask together.

Everything works on a whole batch on its own device, and every photo of the batch draws its own
numbers. The random numbers come from a CPU generator, so all devices see the same augmentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

DRAWS = 9  # random numbers a photo
_GREY = (0.299, 0.587, 0.114)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 0..255, or float in [0, 1], to float32 in [-1, 1]; any shape."""
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    return scaled * 2 - 1


@dataclass(frozen=True)
class Augment:
    """Random flip, small affine warp and colour change for images and masks together.

    Attributes:
        flip: probability of a left-right flip.
        rotate: largest turn in degrees, either way.
        scale: largest change of size, 0.1 for 10 % smaller to 10 % larger.
        shift: largest move as a share of the side.
        colour: largest change of brightness, contrast and saturation, 0.2 for factors 0.8 to 1.2.
        warped: share of the photos that are turned, scaled and moved; the others stay as sharp as they were.
    """

    flip: float = 0.5
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    warped: float = 1.0

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, 3, H, W) and masks (N, 1, H, W), float in [0, 1], to the same, changed."""
        draws = torch.rand((len(images), DRAWS), generator=generator).to(images.device)
        return self.apply(images, masks, draws)

    def apply(
        self, images: torch.Tensor, masks: torch.Tensor, draws: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As a call, with the random numbers given: float (N, DRAWS) in [0, 1)."""
        flip = draws[:, 0] < self.flip
        # Photo and mask are warped as one four-channel picture: they cannot drift apart.
        both = torch.cat([images, masks], dim=1)
        if self.rotate or self.scale or self.shift:
            # 0.5 is the middle of every range: no change.
            moves = torch.where(draws[:, 8:] < self.warped, draws[:, 1:5], 0.5)
            # Interpolation of ones may round to just above 1.
            both = warp(both, self._matrices(flip, moves, aspect=images.shape[-1] / images.shape[-2])).clamp_(0, 1)
        elif self.flip:
            both = torch.where(flip[:, None, None, None], both.flip(-1), both)
        images, masks = both[:, :3], both[:, 3:]
        if self.colour:
            factors = 1 + self.colour * (2 * draws[:, 5:8] - 1)
            images = change_colour(images, *factors.unbind(1))
        return images, masks

    def _matrices(self, flip: torch.Tensor, draws: torch.Tensor, aspect: float) -> torch.Tensor:
        """(N, 2, 3) matrices from output to input coordinates, both in [-1, 1]."""
        turn, zoom, right, down = (2 * draws - 1).unbind(1)
        angle = turn * math.radians(self.rotate)
        size = 1 + zoom * self.scale
        mirror = 1 - 2 * flip.float()
        cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
        right, down = 2 * right * self.shift, 2 * down * self.shift
        # x and y both run from -1 to 1, so a side is 2 long, and not square: hence `aspect`.
        rows = [cos * mirror, -sin / aspect, right, sin * aspect * mirror, cos, down]
        return torch.stack(rows, dim=1).reshape(-1, 2, 3)


def warp(pictures: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Pictures (N, C, H, W) resampled through (N, 2, 3) matrices; edges repeat outwards."""
    grid = F.affine_grid(matrices, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def change_colour(
    images: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor, saturation: torch.Tensor
) -> torch.Tensor:
    """Images (N, 3, H, W) in [0, 1] with one factor of each kind a photo, (N,); 1 changes nothing."""
    brightness, contrast, saturation = (f[:, None, None, None] for f in (brightness, contrast, saturation))
    weights = torch.tensor(_GREY, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    images = images * brightness
    grey = (images * weights).sum(1, keepdim=True)
    images = grey + (images - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * contrast).clamp(0, 1)
