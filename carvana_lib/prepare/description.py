"""What a folder of photos and masks holds, for the person who writes its `dataset.toml`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from ..base.data_folder import why_unusable
from ..base.described import FILE, describe, scan_described
from ..base.errors import CarvanaError
from ..base.files import write_atomically
from ..base.image_files import open_image
from ..data import TEST_FOLD, VALIDATION_FOLD

_MOST = 5  # kinds that are listed
_ASK = """\
# Does one thing appear in several photos: a patient, a street, an animal? Then add a pattern that finds its name
# in the photo's path, so that it is never in two folds: group = '(patient\\d+)_'
"""


def describe_folder(root: Path, write: bool = False) -> str:
    """The `dataset.toml` for a folder, and as comments what its files hold; `write` puts the file there.

    Raises CarvanaError if no photos and masks are recognised, or there is a `dataset.toml` already that `write` would
    replace.
    """
    described = describe(root)
    if described is None:
        if not why_unusable(root):
            raise CarvanaError(f"{root} is in Carvana's own layout and needs no {FILE}: use it as it is")
        what = "no folders of photos and masks with matching names, such as images/ and masks/"
        cure = f"write {root / FILE} yourself, with photos = 'FOLDER' and masks = 'FOLDER/{{name}}.png'"
        raise CarvanaError(f"{root} holds {what}: {cure}")
    pairs, faults = scan_described(root, described)
    sizes, photo_modes, mask_modes, values = Counter(), Counter(), Counter(), Counter()
    for _, photo, mask, *_ in pairs:
        with open_image(photo) as image:
            sizes["{}x{}".format(*image.size)] += 1
            photo_modes[image.mode] += 1
        with open_image(mask) as image:
            mask_modes[image.mode] += 1
            pixels = np.asarray(image)
            values.update(map(str, np.unique(pixels.reshape(-1, *pixels.shape[2:]), axis=0).tolist()))
    folds = Counter({TEST_FOLD: "test", VALIDATION_FOLD: "validation"}.get(pair[4], "training") for pair in pairs)
    found = {
        "sizes": sizes,
        "modes of the photos": photo_modes,
        "modes of the masks": mask_modes,
        "values in the masks": values,
        "photos for": folds,
    }
    lines = [f"# {len(pairs)} pairs of {len({pair[3] for pair in pairs})} groups; photos without a mask: {len(faults)}"]
    lines += [f"# {what}: {_listed(counts)}" for what, counts in found.items()]
    text = described.to_toml() + ("" if described.group else _ASK) + "\n".join(lines) + "\n"
    if write:
        if (root / FILE).exists():
            raise CarvanaError(f"{root / FILE} exists: edit it, or remove it to have it written again")
        write_atomically(root / FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return text


def _listed(counts: Counter[str]) -> str:
    more = len(counts) - _MOST
    some = ", ".join(f"{what} ({number})" for what, number in counts.most_common(_MOST))
    return some + (f" and {more} more" if more > 0 else "")
