"""What a folder of photos and masks holds, for the person who writes its `dataset.toml`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from ..base.data_folder import why_unusable
from ..base.described import FILE, describe, scan_described
from ..base.errors import CarvanaError
from ..base.files import write_atomically
from ..base.image_files import open_image
from ..data import TEST_FOLD, VALIDATION_FOLD, Pair
from .doctor import never_in_training, scattered_groups
from .inspection import look_at

_MOST = 5  # kinds that are listed
_MOST_NAMED = 40  # values that may be classes
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
    found, unpaired = scan_described(root, described)
    pairs = [Pair(*files) for files in found]
    sizes, photo_modes, mask_modes, values = Counter(), Counter(), Counter(), Counter()
    for pair in pairs:
        with open_image(pair.photo) as image:
            sizes["{}x{}".format(*image.size)] += 1
            photo_modes[image.mode] += 1
        with open_image(pair.mask) as image:
            mask_modes[image.mode] += 1
            values.update(_values(image))
    folds = Counter({TEST_FOLD: "test", VALIDATION_FOLD: "validation"}.get(pair.fold, "training") for pair in pairs)
    found = {
        "sizes": sizes,
        "modes of the photos": photo_modes,
        "modes of the masks": mask_modes,
        "values in the masks": values,
        "photos for": folds,
    }
    groups = len({pair.group for pair in pairs})
    lines = [f"# {len(pairs)} pairs of {groups} groups; photos without a mask: {len(unpaired)}"]
    lines += [f"# {what}: {_listed(counts)}" for what, counts in found.items()]
    if described.several:
        looks = [look_at(pair) for pair in pairs]
        shown = Counter(number for look in looks for number in look.classes)
        counts = ", ".join(f"{name} ({shown[number]})" for number, name in enumerate(described.several.names))
        faults = [fault for look in looks for fault in look.faults][:_MOST] + never_in_training(root, looks)
        lines += [f"# photos with each class: {counts}", *(f"# {fault}" for fault in faults)]
    lines += [f"# {line}" for line in scattered_groups(pairs)]
    asked = ("" if described.group else _ASK) + ("" if described.classes or described.several else _ask_classes(values))
    text = described.to_toml() + asked + "\n".join(lines) + "\n"
    if write:
        if (root / FILE).exists():
            raise CarvanaError(f"{root / FILE} exists: edit it, or remove it to have it written again")
        write_atomically(root / FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return text


def _values(image: Image.Image) -> list[str]:
    """The values of an opened mask, or its colours as "#rrggbb"."""
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return list(map(str, np.unique(pixels).tolist()))
    codes = np.asarray(image.convert("RGB")).astype(np.int32) @ (65536, 256, 1)
    return [f"#{code:06x}" for code in np.unique(codes).tolist()]


def _ask_classes(values: Counter[str]) -> str:
    """Lines to fill in where masks hold more than two values: what they mean cannot be seen."""
    coloured = sorted(value for value in values if value.startswith("#"))
    numbers = sorted(int(value) for value in values if value.isdigit())
    if len(values) < 3 or (coloured and numbers):
        return ""
    if len(values) > _MOST_NAMED or (numbers and numbers[-1] > 255):
        return "# The masks hold many values. If they number cells or the like: classes = ['background', 'cell']\n"
    ask = "# The masks hold more than two values. Say what they mean, background first, and remove each # here:\n"
    names = ["background", *(f"class {number}" for number in range(1, _MOST_NAMED))]
    ignored = numbers[-2:] != [254, 255] and numbers[-1:] == [255]
    if numbers and (largest := numbers[-1 - ignored]) < _MOST_NAMED:
        return ask + f"# classes = {names[: largest + 1]}\n" + "# ignore = 255\n" * ignored
    # Far apart, numbers are easier to name as greys.
    pairs = zip(names, coloured or [f"#{number:02x}{number:02x}{number:02x}" for number in numbers], strict=False)
    return ask + "# colours = {" + ", ".join(f"'{name}' = '{colour}'" for name, colour in pairs) + "}\n"


def _listed(counts: Counter[str]) -> str:
    more = len(counts) - _MOST
    some = ", ".join(f"{what} ({number})" for what, number in counts.most_common(_MOST))
    return some + (f" and {more} more" if more > 0 else "")
