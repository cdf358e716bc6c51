"""Averaged weights, which score better than those of the last step."""

from __future__ import annotations

from itertools import chain, compress

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class AveragedWeights(AveragedModel):
    """Exponential moving average of weights and buffers, over few steps at first: early epochs are not held back."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move a little towards the weights of `model`."""
        # PyTorch's own method copies its counter to the device, and waits until the device has done all its work.
        count = int(self.n_averaged)
        weight = 1 - min(self.decay, (1 + count) / (10 + count)) if count else 1.0
        ours, theirs = (list(chain(net.parameters(), net.buffers())) for net in (self.module, model))
        kinds = [value.is_floating_point() for value in ours]
        torch._foreach_lerp_(list(compress(ours, kinds)), list(compress(theirs, kinds)), weight)
        # Batch norm counts its batches: whole numbers have no average.
        for averaged, current in zip(ours, theirs, strict=True):
            if not averaged.is_floating_point():
                averaged.copy_(current)
        self.n_averaged += 1
