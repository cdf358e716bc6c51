"""CUDA graphs: what a net and its loss launch on a GPU is recorded once, and each step replays it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def record_graphs(net: nn.Module, loss_function: Loss, images: torch.Tensor) -> tuple[nn.Module, Loss]:
    """`net` and `loss_function` as CUDA graphs, for batches of the shape and memory layout of `images`.

    In evaluation mode the net works as before, on any shape. Recording runs the net; its buffers are put back.

    Args:
        net: on its GPU; its forward pass is replaced.
        images: float32 (N, 3, H, W) on the same GPU; the values do not matter.
    """
    before = {name: value.clone() for name, value in net.named_buffers()}
    net.train()
    logits = net(images).detach().requires_grad_()
    targets = torch.zeros_like(logits, requires_grad=False)
    graphs = torch.cuda.make_graphed_callables((net, loss_function), ((images,), (logits, targets)))
    with torch.no_grad():
        for name, value in net.named_buffers():
            value.copy_(before[name])
    return graphs
