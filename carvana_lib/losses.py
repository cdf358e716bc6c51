"""Losses of logits against soft masks: both float (N, 1, H, W), masks in [0, 1]. Each loss is a scalar.

Of several classes both are (N, C, H, W), and a mask holds each class's share of a pixel. A pixel that no class has a
share of counts for nothing. Masks with values above 1, for example from 0 to 255, raise a CarvanaError.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .base.errors import CarvanaError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _check(targets: torch.Tensor) -> None:
    # Only on a CPU: on a GPU, reading the maximum would make each step wait until the GPU has caught up. There
    # `run.alarms` finds the fault, because the loss falls below 0.
    if targets.device.type == "cpu" and targets.numel() and (largest := targets.max().item()) > 1:
        raise CarvanaError(f"masks must lie in 0 to 1, but these reach {largest:.8g}: divide masks of 0 to 255 by 255")


def bce_loss(logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor | None = None) -> torch.Tensor:
    """Binary cross-entropy, averaged over pixels; of several classes cross-entropy of the softmax.

    `class_weights`, (C,), say how much a pixel of each of several classes counts; None: all the same.
    """
    _check(targets)
    if targets.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, targets)
    return _cross_entropy(logits, targets if class_weights is None else targets * class_weights.view(-1, 1, 1))


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The weighted mean over pixels; the weight of a pixel is the sum of its targets."""
    return -(targets * F.log_softmax(logits, 1)).sum() / targets.sum().clamp(min=1)


def dice_loss(logits: torch.Tensor, targets: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """1 - soft Dice of each photo and class, averaged (Milletari et al. 2016, arXiv 1606.04797, section 3).

    The denominator has squares, as in that paper. Without them, the best prediction for a soft mask would be harder
    than the mask. `smooth` keeps empty masks from becoming 0 / 0.
    """
    _check(targets)
    if targets.shape[1] == 1:
        probabilities, pixels = torch.sigmoid(logits), (1, 2, 3)
    else:
        probabilities, pixels = torch.softmax(logits, 1) * targets.sum(1, keepdim=True), (2, 3)
    overlap = (probabilities * targets).sum(pixels)
    total = probabilities.square().sum(pixels) + targets.square().sum(pixels)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def bce_dice_loss(
    logits: torch.Tensor, targets: torch.Tensor, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """`bce_loss`, which has strong gradients from the start, plus Dice loss, which is close to the score."""
    return bce_loss(logits, targets, class_weights) + dice_loss(logits, targets)


def boundary_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy weighted by `boundary_weights`, so that the outline counts most.

    On large photos the weights are computed for blocks of up to 4x4 pixels: exact ones would take longer than the net.
    """
    _check(targets)
    # A block wider than sigma would blur the weight at the outline.
    weights = boundary_weights(targets, block=min(4, max(1, round(targets.shape[-2] / 320))))
    if targets.shape[1] > 1:
        return _cross_entropy(logits, targets * weights)
    return F.binary_cross_entropy_with_logits(logits, targets, weights) / weights.mean()


def boundary_weights(targets: torch.Tensor, w0: float = 10.0, sigma: float = 5.0, block: int = 1) -> torch.Tensor:
    """The paper's weight map (arXiv 1505.04597, equation 2) for one object: (N, 1, H, W), above 0.

    w = w_c + w0 * exp(-d^2 / (2 sigma^2)). Here w_c gives all classes the same total weight, and d is the distance in
    pixels to the nearest pixel of another class. The paper's second distance, to the second nearest cell under the
    microscope, has no meaning with one car in a photo. With `block` above 1, the map is computed on means over
    `block` x `block` pixels and interpolated.
    """
    if block > 1:
        coarse = boundary_weights(F.avg_pool2d(targets, block, ceil_mode=True), w0, sigma / block)
        return F.interpolate(coarse, targets.shape[-2:], mode="bilinear", align_corners=False)
    reach = int(3 * sigma)  # farther, the second term is under 1.2 % of w0
    if targets.shape[1] == 1:
        car = targets > 0.5
        share = car.float().mean((2, 3), keepdim=True).clamp(0.01, 0.99)
        class_weights = torch.where(car, 0.5 / share, 0.5 / (1 - share))
        # The distance to a pixel's own class is 0.
        to_other_class = squared_distance(torch.cat([car, ~car], 1), reach).amax(1, keepdim=True)
    else:
        largest = targets.argmax(1, keepdim=True)
        inside = torch.zeros_like(targets, dtype=torch.bool).scatter_(1, largest, True) & (targets > 0)
        share = inside.float().mean((2, 3), keepdim=True).clamp(min=0.01)
        class_weights = (inside / (targets.shape[1] * share)).sum(1, keepdim=True)
        to_other_class = squared_distance(inside, reach).masked_fill(inside, torch.inf).amin(1, keepdim=True)
    return class_weights + w0 * torch.exp(-to_other_class / (2 * sigma**2))


def squared_distance(inside: torch.Tensor, reach: int) -> torch.Tensor:
    """Squared distance in pixels from each pixel to the nearest True one of `inside`, bool (N, C, H, W): float.

    It is exact up to `reach` pixels along each axis. Where no True pixel is so near, it is above 2 * reach^2.
    """
    far = 4 * (reach + 1) ** 2
    # Whole numbers of 16 bits move half the bytes of a float, as long as the largest sum fits.
    kind = torch.int16 if far + 2 * reach**2 < 2**15 else torch.int32
    squared = (~inside).to(kind) * far
    # A squared distance is a sum over the axes, so the columns are searched first, then the rows.
    for axis, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = F.pad(squared, padding, value=far)
        for step in range(1, reach + 1):
            for start in (reach - step, reach + step):
                squared = torch.minimum(squared, padded.narrow(axis, start, inside.shape[axis]) + step**2)
    return squared.float()


LOSSES: dict[str, Loss] = {"bce": bce_loss, "dice": dice_loss, "bce+dice": bce_dice_loss, "boundary": boundary_loss}
