"""The simplest learner: it remembers photos and copies the answer of the most similar one."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist


def random_parts(groups: np.ndarray, parts: int = 4, seed: int = 0) -> np.ndarray:
    """Draw a part for each photo, 0 to `parts` - 1: int (N,). Photos of one group get the same part.

    `groups`, int (N,) from 0 up, is the car of each photo, or `np.arange(N)` to draw photo by photo. Each part gets the
    same number of groups, or one more. `seed` is the random seed.
    """
    part_of_group = np.random.default_rng(seed).permutation(groups.max() + 1) % parts
    return part_of_group[groups]


def nearest_outside(features: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """For each photo, the index of the most similar photo that is in another part: int (N,).

    So each part is held out once, and its photos find their neighbours in all the other parts. `features`, float
    (N, F), is what is compared, for example a thumbnail's greys; the distance is Euclidean. `parts`, int (N,), is the
    part of each photo, for example from `random_parts`. If there is only one part, that is a ValueError.
    """
    if len(np.unique(parts)) < 2:
        raise ValueError("nearest_outside needs at least two parts: with one, no photo is outside of it")
    nearest = np.empty(len(parts), dtype=np.int64)
    for part in np.unique(parts):
        inside, outside = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        nearest[inside] = outside[cdist(features[inside], features[outside]).argmin(1)]
    return nearest
