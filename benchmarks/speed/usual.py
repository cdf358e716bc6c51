"""The usual way: how most Carvana tutorials load, train and score. Our way is compared with it.

Each epoch decodes every photo at full size and resizes it with Pillow's default. Worker processes pass on float32
tensors. The net runs in float32 with the default memory layout. Each step reads the loss with `.item()`. Photos are
scored one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from carvana_lib.data import Pair


class UsualDataset(Dataset):
    """Image float32 (3, H, W) in [0, 1] and mask float32 (1, H, W) of 0 and 1, decoded at each access."""

    def __init__(self, pairs: Sequence[Pair], size: tuple[int, int]) -> None:
        self.pairs, self.size = pairs, size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pair = self.pairs[index]
        image = Image.open(pair.photo).convert("RGB").resize(self.size)
        mask = Image.open(pair.mask).convert("L").resize(self.size, Image.Resampling.NEAREST)
        image = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return image, (torch.from_numpy(np.array(mask))[None] > 0).float()


def usual_loader(pairs: Sequence[Pair], size: tuple[int, int], batch_size: int) -> DataLoader:
    return DataLoader(UsualDataset(pairs, size), batch_size, shuffle=True, num_workers=2, drop_last=True)


def usual_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, masks: torch.Tensor) -> float:
    optimizer.zero_grad()
    loss = F.binary_cross_entropy_with_logits(model(images), masks)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def usual_evaluate(model: nn.Module, pairs: Sequence[Pair], size: tuple[int, int]) -> float:
    """Mean Dice at native size, one photo at a time."""
    model.eval()
    scores = []
    for pair in pairs:
        image = np.array(Image.open(pair.photo).convert("RGB").resize(size, Image.Resampling.BOX))
        target = torch.from_numpy(np.array(Image.open(pair.mask).convert("L"))) > 0
        logits = model((torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255) * 2 - 1)
        logits = F.interpolate(logits, size=tuple(target.shape), mode="bilinear")
        prediction = (torch.sigmoid(logits) > 0.5)[0, 0]
        overlap = (prediction & target).sum().item()
        scores.append(2 * overlap / (prediction.sum().item() + target.sum().item()))
    return sum(scores) / len(scores)
