"""Does a mask belong to its photo? The photo's edges choose where a trained net looks, and the net answers."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import torch
from torch import nn

from ..base.errors import CarvanaWarning
from ..base.progress import tqdm
from ..data import Pair
from ..images import read_pair
from ..prediction import predict_logits
from .inspection import Look

# The net takes 0.07 s a photo at half its size and 0.28 s at its own (one core), too long for all of a large set.
OFF_EDGES = 150  # masks whose outlines follow the photo's edges least
TOO_SMALL = 30  # masks that are smallest beside those of the same view
SECOND_LOOKS = 30  # at the net's own size
# Dice of the net and the right mask: 3600 photos, real and rendered, had at least 0.888 at half size; those that were
# lowest there had at least 0.979 at the net's own size.
_SURE_WRONG = 0.85
_SURE_RIGHT = 0.965
_FITS = 0.96


def misfits(looks: Sequence[Look], model: nn.Module, size: tuple[int, int], progress: bool = True) -> list[str]:
    """One line for each mask that may belong to another photo, be moved, mirrored or a part: a suspicion.

    Args:
        looks: what `look_at` said; pairs with faults are left out.
        model: a net that knows such photos, as `load_pretrained` gives it.
        size: (width, height) it was trained at.

    If it finds something else in most photos, it warns (CarvanaWarning), and no mask is named.
    """
    whole = [look for look in looks if not look.faults]
    # Beside those that look odd, a few from everywhere: does the net know such photos?
    usual = {look.pair for look in whole[:: len(whole) // 9 + 1]}
    chosen = sorted(usual | {look.pair for look in _odd(whole)}, key=lambda pair: pair.name)
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    scores = _agreements(model, chosen, half, "Comparing", progress)
    if len(usual) > 2 and (typical := median(scores[pair][0] for pair in usual)) < _SURE_WRONG:
        what = f"in most photos the net `small` sees something else than the masks say (Dice {typical:.2f})"
        cure = "these are other things than cars in a studio, or the masks belong to other photos: look at some"
        warnings.warn(f"{what}: {cure}", CarvanaWarning, stacklevel=2)
        return []
    unsure = [pair for pair in chosen if _SURE_WRONG <= scores[pair][0] < _SURE_RIGHT]
    again = sorted(unsure, key=lambda pair: scores[pair][0])[:SECOND_LOOKS]
    scores |= _agreements(model, again, size, "Looking twice", progress)
    found = []
    for pair in chosen:
        dice, mirrored = scores[pair]
        if dice < (_FITS if pair in again else _SURE_WRONG):
            what = "fits the mirrored photo" if mirrored > max(dice, _SURE_WRONG) else "may not fit its photo"
            found.append(f"{pair.mask} {what} (Dice with what the net `small` sees {dice:.2f}): look at both")
    return found


def _odd(looks: Sequence[Look]) -> list[Look]:
    """The masks to look at: those off the photo's edges, and those that are small for their view."""
    views = defaultdict(list)
    for look in looks:
        views[look.pair.view].append(look.share)
    usual = {view: median(shares) for view, shares in views.items()}
    off_edges = sorted(looks, key=lambda look: look.on_edges)[:OFF_EDGES]
    return off_edges + sorted(looks, key=lambda look: look.share / usual[look.pair.view])[:TOO_SMALL]


def _agreements(
    model: nn.Module, pairs: Sequence[Pair], size: tuple[int, int], title: str, progress: bool
) -> dict[Pair, tuple[float, float]]:
    """`agreement` of each pair, on all cores: a photo on one core each is faster than all cores on one photo."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            work = pool.map(lambda pair: agreement(model, pair, size), pairs)
            return dict(zip(pairs, tqdm(work, title, len(pairs), unit="photo", disable=not progress), strict=True))
    finally:
        torch.set_num_threads(threads)


def agreement(model: nn.Module, pair: Pair, size: tuple[int, int]) -> tuple[float, float]:
    """Dice of what the net sees at `size` with the mask, and with the mirrored mask."""
    photo, mask = (torch.from_numpy(part.copy()) for part in read_pair(pair.photo, pair.mask, size))
    device = next(model.parameters()).device
    seen = predict_logits(model, photo.permute(2, 0, 1)[None].to(device))[0, 0].cpu() > 0
    car = mask > 127
    total = max(1, int(seen.sum() + car.sum()))
    return 2 * int((seen & car).sum()) / total, 2 * int((seen & car.flip(-1)).sum()) / total
