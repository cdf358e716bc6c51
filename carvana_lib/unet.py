"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, Figure 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

_CHOICES = {"norm": ("batch", None), "up": ("transpose", "bilinear"), "padding": ("same", "valid")}


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each followed by batch norm (if asked for) and ReLU.

    (N, in_channels, H, W) -> (N, out_channels, H, W); H and W are 4 smaller with `padding="valid"`.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str | None, padding: str) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            # Batch norm would subtract a bias again.
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=padding, bias=norm is None))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Up(nn.Module):
    """Double the size and halve the channels, put the skip connection beside it, then DoubleConv.

    `deep` (N, 2C, H, W) and `skip` (N, C, at least 2H, at least 2W) -> (N, C, 2H, 2W), both sides 4 smaller with
    `padding="valid"`.
    """

    def __init__(self, channels: int, up: str, norm: str | None, padding: str) -> None:
        super().__init__()
        if up == "transpose":
            self.up: nn.Module = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        else:
            # The 1x1 convolution comes first: the result is the same, and it has a quarter of the pixels to compute.
            self.up = nn.Sequential(
                nn.Conv2d(2 * channels, channels, 1), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            )
        self.conv = DoubleConv(2 * channels, channels, norm, padding)

    def forward(self, deep: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        deep = self.up(deep)
        height, width = deep.shape[-2:]
        top, left = (skip.shape[-2] - height) // 2, (skip.shape[-1] - width) // 2
        return self.conv(torch.cat([skip[..., top : top + height, left : left + width], deep], dim=1))


class UNet(nn.Module):
    """The U-shaped net: `depth` times down, `depth` times up, a skip connection on every level.

    The defaults give the net that most people train: same-size output, batch norm, 31.0 M parameters.
    The paper's own net is `UNet(1, 2, padding="valid", norm=None)`: 572x572 in, 388x388 out.

    Args:
        in_channels: channels of the image, 3 for RGB.
        out_channels: logits for each pixel, 1 for car against background.
        base_channels: channels of the first level; each level has twice as many as the one above.
        depth: how often the size is halved.
        norm: "batch", or None as in the paper.
        up: "transpose" (the paper's 2x2 up-convolution) or "bilinear".
        padding: "same" (any input size, output of the same size) or "valid" (the paper's).
        patch: side in pixels of the squares that are folded into the channels before the first level. With 2, a photo
            of twice the width and height costs about the same.

    Raises:
        ValueError: another argument; with `padding="valid"` also an input size that some level cannot halve.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        base_channels: int = 64,
        depth: int = 4,
        norm: str | None = "batch",
        up: str = "transpose",
        padding: str = "same",
        patch: int = 1,
    ) -> None:
        super().__init__()
        for name, value in {"norm": norm, "up": up, "padding": padding}.items():
            if value not in _CHOICES[name]:
                raise ValueError(f"UNet: {name}={value!r} is not one of {_CHOICES[name]}")
        counts = {"in_channels": in_channels, "out_channels": out_channels, "base_channels": base_channels}
        for name, count in {**counts, "depth": depth, "patch": patch}.items():
            if count < 1:
                raise ValueError(f"UNet: {name}={count} must be at least 1")
        if padding == "valid" and patch > 1:
            raise ValueError(f"UNet: patch={patch} needs padding='same'; the paper's net has patch=1")
        self.depth, self.padding, self.patch = depth, padding, patch
        # True: activations are computed again in the backward pass, not kept. This takes less memory and more time, and
        # gives the same gradients. (Batch norm's running mean sees each batch twice.)
        self.recompute = False
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.stem = DoubleConv(in_channels * patch**2, widths[0], norm, padding)
        self.down = nn.ModuleList(DoubleConv(widths[i], widths[i + 1], norm, padding) for i in range(depth))
        self.up = nn.ModuleList(Up(width, up, norm, padding) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(widths[0], out_channels * patch**2, 1)
        self.apply(_init_weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, in_channels, H, W) -> logits (N, out_channels, H, W), smaller with `padding="valid"`."""
        (height, width), multiple = images.shape[-2:], self.patch * 2**self.depth
        if self.padding == "valid":
            valid_output_side(height, self.depth), valid_output_side(width, self.depth)
        elif height % multiple or width % multiple:
            # The last row and column are repeated until both sides divide.
            images = F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips = [self._run(self.stem, F.pixel_unshuffle(images, self.patch))]
        for down in self.down:
            skips.append(self._run(down, F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up in self.up:
            x = self._run(up, x, skips.pop())
        logits = F.pixel_shuffle(self.head(x), self.patch)
        return logits if self.padding == "valid" else logits[..., :height, :width]

    def _run(self, block: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)


def valid_output_side(side: int, depth: int = 4) -> int:
    """Output side of `UNet(padding="valid")` for an input side in pixels: 388 for the paper's 572.

    An input that is too small, or that gives some level an odd side, raises a ValueError.
    """
    inner = side
    for _ in range(depth):
        inner -= 4
        if inner % 2:
            raise ValueError(
                f"UNet(padding='valid') cannot halve the {inner} pixels left of an input side of {side}: "
                "choose a side that stays even at every level, such as 572 at depth 4"
            )
        inner //= 2
    inner -= 4
    for _ in range(depth):
        inner = 2 * inner - 4
    if inner < 1:
        raise ValueError(f"UNet(padding='valid') has nothing left of an input side of {side}: the paper's is 572")
    return inner


def _init_weights(module: nn.Module) -> None:
    """Draw from a normal distribution of standard deviation sqrt(2 / fan-in): the paper, section 3, after He et al."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers in `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
