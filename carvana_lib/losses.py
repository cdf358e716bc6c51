"""Losses on logits and soft masks, both (N, 1, H, W); targets in [0, 1]. Each returns a scalar.

Targets above 1, masks of 0 to 255 say, are refused (CarvanaError).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .base.errors import CarvanaError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _check(targets: torch.Tensor) -> None:
    # Not on a GPU, where a look would have to wait:
    # there `watch` sees the loss fall below 0.
    if targets.device.type == "cpu" and targets.numel() and targets.max() > 1:
        raise CarvanaError(
            f"masks must lie in 0 to 1, but these reach {targets.max().item():.8g}: divide masks of 0 to 255 by 255"
        )


def bce_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy, averaged over pixels."""
    _check(targets)
    return F.binary_cross_entropy_with_logits(logits, targets)


def dice_loss(logits: torch.Tensor, targets: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """1 - soft Dice per photo, averaged over photos (Milletari et al. 2016, arXiv 1606.04797, section 3).

    The denominator has squares, as in that paper: with soft targets the plain sum would be smallest
    for a prediction harder than the target. `smooth` keeps empty masks away from 0 / 0.
    """
    _check(targets)
    probabilities = torch.sigmoid(logits)
    sums = (1, 2, 3)
    overlap = (probabilities * targets).sum(sums)
    total = probabilities.square().sum(sums) + targets.square().sum(sums)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def bce_dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus Dice loss: gradients early from the first, the score from the second."""
    return bce_loss(logits, targets) + dice_loss(logits, targets)


def boundary_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy weighted by `boundary_weights`, so that the outline counts most.

    On large photos the weights are found on squares of up to 4x4 pixels: exact ones would cost more than the net.
    """
    _check(targets)
    # Larger squares would be wider than sigma, and the weight at the outline would fade.
    weights = boundary_weights(targets, square=min(4, max(1, round(targets.shape[-2] / 320))))
    return F.binary_cross_entropy_with_logits(logits, targets, weights) / weights.mean()


def boundary_weights(targets: torch.Tensor, w0: float = 10.0, sigma: float = 5.0, square: int = 1) -> torch.Tensor:
    """The paper's weight map (arXiv 1505.04597, equation 2) for one object: (N, 1, H, W), above 0.

    w = w_c + w0 * exp(-d^2 / (2 sigma^2)), where w_c makes both classes count alike and d is the
    distance in pixels to the nearest pixel of the other class. The paper's second distance, to the
    second nearest cell, has no meaning with one car a photo and is left out. With `square` above 1 the
    map is found on averages over so many pixels each way, and interpolated.
    """
    if square > 1:
        small = boundary_weights(F.avg_pool2d(targets, square, ceil_mode=True), w0, sigma / square)
        return F.interpolate(small, targets.shape[-2:], mode="bilinear", align_corners=False)
    car = targets > 0.5
    share = car.float().mean((2, 3), keepdim=True).clamp(0.01, 0.99)
    class_weights = torch.where(car, 0.5 / share, 0.5 / (1 - share))
    # Beyond three sigma the second term is under 1.2 % of w0.
    square = squared_distance(torch.cat([car, ~car], 1), reach=int(3 * sigma)).amax(1, keepdim=True)
    return class_weights + w0 * torch.exp(-square / (2 * sigma**2))


def squared_distance(inside: torch.Tensor, reach: int) -> torch.Tensor:
    """Squared distance in pixels from each pixel to the nearest True one of `inside` (N, C, H, W).

    Exact up to `reach` pixels along each axis; where none is that near, a number above 2 * reach^2.
    A squared distance is a sum over the axes, so one axis can be searched after the other.
    """
    height, width = inside.shape[-2:]
    far = float(4 * (reach + 1) ** 2)
    square = torch.where(inside, 0.0, far)
    for axis, side in ((2, height), (3, width)):
        before = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        padded = F.pad(square, before, value=far)
        moves = (padded.narrow(axis, reach + step, side) + step**2 for step in range(-reach, reach + 1))
        square = next(moves)
        for moved in moves:
            square = torch.minimum(square, moved)
    return square


LOSSES: dict[str, Loss] = {
    "bce": bce_loss,
    "dice": dice_loss,
    "bce+dice": bce_dice_loss,
    "boundary": boundary_loss,
}
