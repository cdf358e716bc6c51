"""Drawn backgrounds: gradients, noise, stripes and blurred walls, for photos of things that stood in one studio."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# More numbers for each photo if backgrounds are drawn: whether, which kind, its direction, coarseness, place (two),
# sharpness, two colours.
BACKDROP_DRAWS = 13
_TABLE = torch.rand(64 * 64, generator=torch.Generator().manual_seed(0))  # of the drawn noise, which repeats after 64


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
