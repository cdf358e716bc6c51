"""What all interactive tools share: core ipywidgets, pictures as bytes, and a still picture for where nothing runs.

Only controls and traits that ipywidgets 7.7 (Colab) and 8 (JupyterLab, Kaggle, VS Code) both have are used.

Pictures are JPEG or PNG bytes in `widgets.Image`: drawing with matplotlib at every move would make the sliders slow.
While the kernel works on one move, ipywidgets keeps only the latest of the moves that follow.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data import Pair
from ..images import resize

SHOWN_WIDTH = 720  # pixels of the largest picture shown; scores are counted at the mask's own size
LABEL = {"description_width": "7em"}
WIDE = {"width": "98%"}
BUTTON = {"width": "14em"}
_PROTOCOL = {"version_major": 2, "version_minor": 0}  # of a widget's view: the same in ipywidgets 7 and 8
ROW = {"display": "flex", "flex_flow": "row wrap", "width": "98%"}


class Tool:
    """An interactive tool. Where nothing can run (GitHub, a printed page), a still picture stands in its place.

    A subclass fills `box` with its widgets, places `picture` among them, and calls `show`.
    """

    box: widgets.Widget
    still = np.full((90, 320, 3), 235, np.uint8)  # the picture shown now, uint8 (H, W, 3); at first pale grey

    def __init__(self) -> None:
        self.picture = picture_widget()

    def show(self, picture: np.ndarray) -> None:
        """Put a picture, uint8 (H, W, 3), into the tool."""
        self.picture.value, self.still = encode(picture), picture

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, object], dict[str, object]]:
        sentence = f"{type(self).__name__}: run this cell in JupyterLab, Colab or Kaggle to use it."
        # Some pages show only the picture: the sentence stands in a strip below it too.
        font, (height, width) = ImageFont.load_default(15), self.still.shape[:2]
        page = Image.new("RGB", (max(width, round(font.getlength(sentence)) + 16), height + 30), "white")
        page.paste(Image.fromarray(self.still))
        ImageDraw.Draw(page).text((8, height + 6), sentence, "black", font)
        # ipywidgets 8 could give the view; 7, which Colab has, displays a widget in another way.
        data = {
            "application/vnd.jupyter.widget-view+json": {**_PROTOCOL, "model_id": self.box.model_id},
            "text/plain": sentence,
            "image/png": base64.b64encode(encode(np.asarray(page), "PNG")).decode(),
        }
        return data, {"image/png": {"alt": f"Still picture of {sentence}", "smallest_type": font.size}}


def encode(picture: np.ndarray, kind: str = "JPEG") -> bytes:
    """uint8 (H, W, 3 or 4) as the bytes of a "JPEG" or "PNG" file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 1}))
    return buffer.getvalue()


def shrink(picture: np.ndarray, widest: int = SHOWN_WIDTH) -> np.ndarray:
    """uint8 (H, W, 3) averaged down to `widest` pixels; a smaller picture stays as it is."""
    height, width = picture.shape[:2]
    if width <= widest:
        return picture
    return np.asarray(resize(Image.fromarray(picture), (widest, max(1, round(height * widest / width)))))


def pick(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Values (H, W) at the middle of each pixel of a smaller picture of `shape` = (height, width)."""
    middles = [((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, values.shape, strict=True)]
    return values[np.ix_(*middles)]


def picture_widget(kind: str = "jpeg", width: int = SHOWN_WIDTH) -> widgets.Image:
    """A place for a picture, as wide as its surroundings allow, up to `width` pixels."""
    return widgets.Image(format=kind, layout={"width": "98%", "max_width": f"{width}px"})


def car_names(pairs: Sequence[Pair]) -> dict[str, str]:
    """For each car what people call it, "white saloon (4873...)", if the data's metadata.csv says so; else its id."""
    names = {pair.car: pair.car for pair in pairs}
    for folder in {pair.photo.parent.parent for pair in pairs}:
        try:
            rows = list(csv.DictReader((folder / "metadata.csv").read_text(encoding="utf-8").splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error):
            continue  # names are a comfort: without them ids do
        for row in rows:
            car = row.get("car") or row.get("id")  # Kaggle's file has id, make and model
            words = [row[column] for column in ("colour", "style", "make", "model") if row.get(column)]
            if car in names and words:
                names[car] = f"{' '.join(words).replace('suv', 'SUV')} ({car[:4]}...)"
    return names


def on_change(update: Callable[[], None], *controls: widgets.Widget) -> None:
    """Call `update` whenever the value of one of the controls changes."""
    for control in controls:
        control.observe(lambda _: update(), "value")


def with_number(slider: widgets.FloatSlider | widgets.IntSlider, name: str) -> widgets.Widget:
    """The slider after a number field; each follows the other. Screen readers can read the label of the field only."""
    kind = widgets.BoundedFloatText if isinstance(slider, widgets.FloatSlider) else widgets.BoundedIntText
    limits = {"min": slider.min, "max": slider.max, "step": slider.step}
    number = kind(slider.value, **limits, description=name, style=LABEL, layout={"width": "12.5em"})
    for trait in ("max", "value"):
        widgets.jslink((slider, trait), (number, trait))
    slider.readout = False
    slider.layout.flex, slider.layout.min_width = "1 1 120px", "120px"
    return widgets.HBox([number, slider], layout=WIDE)
