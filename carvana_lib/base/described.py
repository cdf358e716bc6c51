"""Data sets that are not Carvana's: described by `dataset.toml`, or recognised by their folders.

photos = 'images'             # a folder, or a pattern such as '*/images/*.png'
masks = 'labels/{name}.png'   # {name}: the photo's name without its ending; {folder}: its folder; * for any ending
group = '(patient\\d+)_'      # searched in the photo's path: what must not be split; default: each photo by itself
classes = ['background', 'cell']   # mask value 0, and any other; without it a mask has two values
classes = ['road', 'car', 'sky']   # of more than two: mask values 0, 1, 2
colours = {road = '#804080', car = '#400080', sky = '#808080'}   # where masks are coloured pictures
ignore = 255                       # a value, or a colour, that counts for nothing
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections import Counter
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from glob import escape
from itertools import product
from pathlib import Path

from .classes import MOST_CLASSES, Classes
from .data_folder import CAR, MASK_FOLDER, MASK_SUFFIXES, PHOTO_FOLDERS, PHOTO_NAME, PHOTO_SUFFIXES, file_names, scan
from .errors import CarvanaError, reason

FILE = "dataset.toml"
FEW_GROUPS = 30  # below it folds go by rank, so that neither test nor validation is empty
_PHOTO_PLACES = ("images", "imgs", "photos", "jpegimages", "train")
_MASK_PLACES = ("masks", "labels", "annotations", "segmentationclass", "train_masks")
_MASK_ENDS = ("_mask", "-mask", "_label", "_seg", "")


@dataclass(frozen=True)
class Description:
    """Where the photos and masks of a data set lie, and what must stay together."""

    photos: str
    masks: str
    group: str = ""
    classes: tuple[str, ...] = ()
    colours: tuple[tuple[str, str], ...] = ()  # of coloured masks: name and "#rrggbb" of each class
    ignore: int | str | None = None

    @property
    def several(self) -> Classes | None:
        """How masks are read that have more than two classes, colours, or pixels that count for nothing."""
        if len(self.classes) < 3 and not self.colours and self.ignore is None:
            return None
        names = self.classes or ("background", "object")
        return Classes(names, tuple(dict(self.colours)[name] for name in names if self.colours), self.ignore)

    def to_toml(self) -> str:
        """The text of `dataset.toml`; a text in single quotes is taken as it stands."""
        texts = {name: f"'{getattr(self, name)}'" for name in ("photos", "masks", "group") if getattr(self, name)}
        texts |= {"classes": list(self.classes)} if self.classes else {}
        if self.colours:
            texts["colours"] = "{" + ", ".join(f"{name!r} = {colour!r}" for name, colour in self.colours) + "}"
        texts |= {} if self.ignore is None else {"ignore": repr(self.ignore)}
        return "".join(f"{name} = {text}\n" for name, text in texts.items())


def describe(root: Path) -> Description | None:
    """What `dataset.toml` says, or what the folders of `root` show; None if neither is there."""
    return read_description(root / FILE) if os.path.exists(root / FILE) else recognise(root)


def read_description(path: Path) -> Description:
    """Raises CarvanaError for a file that is not TOML, and for keys and values that are not these."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CarvanaError(
            f"{path} cannot be read ({reason(error)}): it holds lines such as photos = 'images'"
        ) from None
    known = [field.name for field in fields(Description)]
    if wrong := sorted(set(values) - set(known)):
        raise CarvanaError(f"{path} has {', '.join(wrong)}, which is not known: use {', '.join(known)}")
    several = _read_classes(path, values)
    for name in known[:3]:
        if not isinstance(values.get(name, ""), str) or (name != "group" and not values.get(name)):
            raise CarvanaError(f"{path} needs {name} = '...', a text in quotes")
    description = Description(**values, **several)
    if "{name}" not in description.masks and "{folder}" not in description.masks:
        raise CarvanaError(f"{path}: masks = '{description.masks}' needs {{name}}, as in masks = 'labels/{{name}}.png'")
    try:
        re.compile(description.group)
        description.masks.format(name="", folder="")
    except (re.error, LookupError, ValueError) as error:
        raise CarvanaError(f"{path}: group or masks cannot be understood ({reason(error)})") from None
    return description


def _read_classes(path: Path, values: dict[str, object]) -> dict[str, object]:
    """Takes classes, colours and ignore out of the values of `dataset.toml`, as `Description` holds them."""
    colours, ignore = values.pop("colours", {}), values.pop("ignore", None)
    if not isinstance(colours, dict):
        raise CarvanaError(f"{path}: colours must be written as in {{ background = '#000000', cell = '#ff0000' }}")
    classes = values.pop("classes", [*colours])
    if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
        raise CarvanaError(f"{path}: classes must be a list of names, as in ['background', 'cell']")
    if len(classes) == 1 or len(classes) > MOST_CLASSES or len(set(classes)) < len(classes):
        raise CarvanaError(f"{path}: classes must be 2 to {MOST_CLASSES} different names, background first")
    if colours and set(colours) != set(classes):
        raise CarvanaError(f"{path}: colours must give each of `classes` one, and nothing else")
    codes = [*colours.values(), *([ignore] if colours and ignore is not None else [])]
    wrong = [code for code in codes if not isinstance(code, str) or not re.fullmatch("#[0-9a-fA-F]{6}", code)]
    if wrong or len({code.lower() for code in codes}) < len(codes):
        what = f"{wrong[0]!r} is no colour" if wrong else "a colour stands twice"
        raise CarvanaError(f"{path}: {what}: write six hexadecimal digits, '#rrggbb', other ones for each class")
    if ignore is not None and not colours and (type(ignore) is not int or not (len(classes) or 2) <= ignore <= 65_535):
        what = f"ignore = {ignore!r} must be a mask value that no class has"
        raise CarvanaError(f"{path}: {what}, from {len(classes) or 2} on, such as 255")
    return {"classes": tuple(classes), "colours": tuple(colours.items()), "ignore": ignore}


def recognise(root: Path) -> Description | None:
    """Two folders beside one another with known names, or photos and masks in one folder; names must match.

    Kaggle's own layout (train/ and train_masks/) is not looked at, and no photo with a name of Carvana's: they have
    their own rules, and views of a car would be split.
    """
    if not os.path.isdir(root) or not os.access(root, os.R_OK | os.X_OK):
        return None
    folders = {name.lower(): name for name in file_names(root) if (root / name).is_dir()}
    if MASK_FOLDER in folders and any(name in folders for name in PHOTO_FOLDERS):
        return None
    places = [(folders.get(photos), folders.get(masks)) for photos, masks in product(_PHOTO_PLACES, _MASK_PLACES)]
    found = []
    for photos, masks in [*(place for place in places if all(place)), ("", "")]:
        stems = _stems(root / photos, PHOTO_SUFFIXES)
        others = _stems(root / masks, MASK_SUFFIXES)
        # Without an ending of their own, the masks of one folder would be the photos themselves.
        counts = {end: sum(stem + end in others for stem in stems) for end in _MASK_ENDS if end or photos}
        most = max(counts.values())
        if most and not any(PHOTO_NAME.fullmatch(stem.lower()) for stem in stems):
            folder = f"{masks}/" if masks else ""
            ends = [end for end, count in counts.items() if count == most]
            found += [Description(photos or ".", f"{folder}{{name}}{end}.*") for end in ends]
    if len(found) > 1:
        both = " and ".join(f"{one.photos} with {one.masks}" for one in found[:2])
        raise CarvanaError(f"{root} may be read in several ways, {both}: say which in {root / FILE}")
    return found[0] if found else None


def _stems(folder: Path, suffixes: tuple[str, ...]) -> set[str]:
    return {Path(name).stem for name in file_names(folder) if name.lower().endswith(suffixes)}


def find_pairs(root: Path) -> tuple[list[tuple], list[str]]:
    """As `scan_described` for data that `describe` knows, else as `scan`, in Kaggle's layout."""
    described = describe(root)
    return scan_described(root, described) if described else scan(root)


def scan_described(root: Path, described: Description) -> tuple[list[tuple], list[str]]:
    """What a `Pair` holds for every usable pair, sorted by name, and one line for each other photo.

    File names are read, files are not opened. Raises CarvanaError if there are no photos, or fewer than three groups.
    """
    folder = root / described.photos
    files = sorted(folder.iterdir() if folder.is_dir() else root.glob(described.photos))
    files = [file for file in files if file.suffix.lower() in PHOTO_SUFFIXES and file.is_file() and file.name[0] != "."]
    listed: dict[Path, list[str]] = {}
    masks = {file: _masks_of(root, described, file, listed) for file in files}
    taken = {mask for found in masks.values() for mask in found}
    photos = [file for file in files if file not in taken]  # photos and masks may lie in one folder
    if not photos:
        raise CarvanaError(f"{folder} holds no photos: correct `photos` in {root / FILE}")
    twice = Counter(photo.stem.lower() for photo in photos)
    pairs, faults = [], []
    for photo in photos:
        path = photo.relative_to(root)
        name = photo.stem if twice[photo.stem.lower()] == 1 else "__".join(path.with_suffix("").parts)
        match = re.search(described.group, path.as_posix()) if described.group else None
        group = (match[1] if match.re.groups else match[0]) if match else None
        if described.group and not group:
            faults.append(f"{photo} has no group: '{described.group}' in {root / FILE} is not found in its path")
        elif len(masks[photo]) != 1:
            several = " and ".join(mask.name for mask in masks[photo])
            wanted = described.masks.format(name=photo.stem, folder=photo.parent.name)
            faults.append(
                f"{photo} has {several + ': keep one of them' if several else f'no mask: add {root / wanted}'}"
            )
        else:
            pairs.append((name, photo, masks[photo][0], group or name))
    folds = split_groups({pair[3] for pair in pairs})
    if 0 < len(folds) < 3:
        raise CarvanaError(f"{root} holds {len(folds)} groups: training, validation and test need at least three")
    return sorted((*pair, folds[pair[3]], bool(described.classes), described.several) for pair in pairs), faults


def _masks_of(root: Path, described: Description, photo: Path, listed: dict[Path, list[str]]) -> list[Path]:
    """The files that the pattern of the masks names for a photo; not the photo itself."""
    # A name may hold what has a meaning in a pattern, such as [1].
    wanted = root / described.masks.format(name=escape(photo.stem), folder=escape(photo.parent.name))
    folder = (root / described.masks.format(name=photo.stem, folder=photo.parent.name)).parent
    if folder not in listed:
        names = file_names(folder) if folder.is_dir() else []
        listed[folder] = [name for name in names if name.lower().endswith(MASK_SUFFIXES)]
    return [folder / name for name in listed[folder] if fnmatch(name, wanted.name) and folder / name != photo]


def split_groups(groups: set[str]) -> dict[str, int]:
    """Fold 0 to 9 of each group, from the SHA-256 of its name; of fewer than 30 groups, from its rank among them.

    Cars of Carvana's keep the fold they have there, so that no net is scored on cars that it was trained on.
    """
    if all(CAR.fullmatch(group) for group in groups):
        return {group: int(group, 16) % 10 for group in groups}
    hashed = sorted(groups, key=_hash)
    few = len(hashed) < FEW_GROUPS
    return {group: (rank if few else _hash(group)) % 10 for rank, group in enumerate(hashed)}


def _hash(group: str) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16)
