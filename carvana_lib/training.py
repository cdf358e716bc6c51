"""Optimizer, learning-rate schedule and averaged weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from .config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The config's optimizer over all parameters of `model`."""
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), config.learning_rate, fused=fused)
    return torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The config's learning rate at each of `total_steps` optimizer steps."""
    if config.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    # One step more than are taken: the schedule is stepped after the last one too.
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps + 1, pct_start=0.15)


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average that starts short, so that early epochs are not held back."""

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor) -> None:
        weight = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, weight)
        else:
            torch._foreach_copy_(averaged, current)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
