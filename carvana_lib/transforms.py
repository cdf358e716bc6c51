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

# The random numbers of a batch, (N,) each in [0, 1). For all but `flip` and `warp`, 0.5 is no change.
Draws = namedtuple("Draws", "flip turn size right down brightness contrast saturation warp")
DRAWS = len(Draws._fields)
# More numbers for each photo if backgrounds are drawn: whether, which kind, its direction, coarseness, place (two),
# sharpness, two colours.
BACKDROP_DRAWS = 13
_GREY = (0.299, 0.587, 0.114)
_TABLE = torch.rand(64 * 64, generator=torch.Generator().manual_seed(0))  # of the drawn noise, which repeats after 64


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
        """Change images (N, 3, H, W) and masks (N, 1, H, W), float in [0, 1]; the shapes stay."""
        return self.apply(images, masks, self.draw(len(images), generator).to(images.device))

    def draw(self, photos: int, generator: torch.Generator) -> Tensor:
        """The random numbers for `apply`: float (photos, DRAWS), with backdrops (photos, DRAWS + BACKDROP_DRAWS)."""
        draws = torch.rand((photos, DRAWS), generator=generator)
        more = torch.rand((photos, BACKDROP_DRAWS), generator=generator) if self.backdrop else draws[:, :0]
        return torch.cat([draws, more], 1)

    def apply(self, images: Tensor, masks: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As a call, with the random numbers given as `draw` makes them, in [0, 1): first a column for each `Draws`."""
        draw, more = Draws(*draws[:, :DRAWS].unbind(1)), draws[:, DRAWS:]
        # Photo and mask are warped as one four-channel picture: they cannot drift apart.
        both = torch.cat([images, masks], dim=1)
        if self.rotate or self.scale or self.shift:
            matrices = self._matrices(draw, aspect=images.shape[-1] / images.shape[-2])
            # Interpolation of ones may round to just above 1.
            both = warp(both, matrices).clamp_(0, 1)
        elif self.flip:
            both = torch.where((draw.flip < self.flip)[:, None, None, None], both.flip(-1), both)
        images, masks = both[:, :3], both[:, 3:]
        if self.backdrop:
            pasted = images * masks + backdrops(images, masks, more[:, 1:]) * (1 - masks)
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


def backdrops(images: Tensor, masks: Tensor, draws: Tensor) -> Tensor:
    """A drawn background for each photo: float (N, 3, H, W) in [0, 1].

    A quarter each are gradients, noise of five scales, stripes, and the blurred wall of the next photo of the batch.

    Args:
        images: float (N, 3, H, W) in [0, 1], whose walls are blurred; masks: float (N, 1, H, W) in [0, 1].
        draws: float (N, BACKDROP_DRAWS - 1) in [0, 1).
    """
    kind, turn, size, right, down, sharp = draws[:, :6, None, None].unbind(1)
    height, width = images.shape[-2:]
    y = torch.linspace(-1, 1, height, device=images.device)[:, None]
    x = torch.linspace(-1, 1, width, device=images.device) * (width / height)
    cos, sin = torch.cos(2 * math.pi * turn), torch.sin(2 * math.pi * turn)
    along, across = x * cos + y * sin + right, y * cos - x * sin + down  # (N, H, W), half a height is 1
    waves, steep = 2 ** (4 * size), 1 + 30 * sharp**2
    noise = sum(_noise(along * waves * 2**octave, across * waves * 2**octave) / 2**octave for octave in range(5)) - 1
    stripes = torch.sigmoid(steep * torch.sin(math.pi * waves * along))
    gradient = (along - right) / 2 + 0.5
    texture = torch.where(
        kind < 0.5, torch.where(kind < 0.25, gradient, torch.sigmoid(3 * steep.sqrt() * noise)), stripes
    )
    first, second = draws[:, 6:, None, None].tensor_split(2, 1)
    drawn = first + (second - first) * texture.clamp(0, 1)[:, None]
    outside = 1 - masks.roll(1, 0)
    sums, shares = (F.adaptive_avg_pool2d(part, (4, 6)) for part in (images.roll(1, 0) * outside, outside))
    # Behind that photo's car the wall has the mean colour of its other places.
    mean = sums.mean((2, 3), keepdim=True) / shares.mean((2, 3), keepdim=True).clamp(min=1e-3)
    wall = F.interpolate((sums + 0.01 * mean) / (shares + 0.01), (height, width), mode="bilinear") * (0.3 + 0.7 * first)
    return torch.where((kind < 0.75)[:, None], drawn, wall).clamp(0, 1)


def _noise(x: Tensor, y: Tensor) -> Tensor:
    """Smooth noise at points of the plane, any shape: random values at whole numbers, interpolated, in [0, 1)."""
    table = _TABLE.to(x.device)
    left, top = x.floor(), y.floor()
    at = [[table[((top.long() + b) % 64) * 64 + (left.long() + a) % 64] for a in (0, 1)] for b in (0, 1)]
    fx, fy = (part * part * (3 - 2 * part) for part in (x - left, y - top))
    upper, lower = (row[0] + (row[1] - row[0]) * fx for row in at)
    return upper + (lower - upper) * fy
