"""The simplest learner: it remembers photos and copies the answer of the most similar one."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from ..base.arrays import described


def random_parts(groups: np.ndarray, parts: int = 4, seed: int = 0) -> np.ndarray:
    """Draw a part for each photo, 0 to `parts` - 1: int (N,). Photos of one group get the same part.

    `groups`, int (N,) from 0 up, is the car of each photo, or `np.arange(N)` to draw photo by photo. Each part gets the
    same number of groups, or one more. `seed` is the random seed. Other groups, or no parts, raise a ValueError.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or groups.dtype.kind not in "iu" or groups.min(initial=0) < 0 or not groups.size:
        cure = "np.unique(names, return_inverse=True)[1] numbers names"
        raise ValueError(f"groups must be whole numbers from 0 up, one for each photo, not {described(groups)}: {cure}")
    if parts < 1:
        raise ValueError(f"parts={parts} must be at least 1")
    part_of_group = np.random.default_rng(seed).permutation(groups.max() + 1) % parts
    return part_of_group[groups]


def nearest_outside(features: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """For each photo, the index of the most similar photo that is in another part: int (N,).

    So each part is held out once, and its photos find their neighbours in all the other parts. `features`, float
    (N, F), is what is compared, for example a thumbnail's greys; the distance is Euclidean. `parts`, int (N,), is the
    part of each photo, for example from `random_parts`. A single part, features that are not finite, or not one part
    for each photo raise a ValueError.
    """
    features, parts = np.asarray(features), np.asarray(parts)
    if features.ndim != 2 or parts.shape != features.shape[:1] or not np.isfinite(features).all():
        shapes = f"features {features.shape}, parts {parts.shape}"
        raise ValueError(f"nearest_outside needs finite features (N, F) and parts (N,), not {shapes}")
    if len(np.unique(parts)) < 2:
        raise ValueError("nearest_outside needs at least two parts: with one, no photo is outside of it")
    nearest = np.empty(len(parts), dtype=np.int64)
    for part in np.unique(parts):
        inside, outside = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        nearest[inside] = outside[cdist(features[inside], features[outside]).argmin(1)]
    return nearest
