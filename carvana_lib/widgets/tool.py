"""What all interactive tools share: core ipywidgets around pure functions, and a still picture for when nothing runs.

Pictures are JPEG or PNG bytes in `widgets.Image`, since drawing with matplotlib at every move is
what makes sliders crawl. While a move is worked on, ipywidgets holds back all but the latest one.
"""

from __future__ import annotations

import base64
import io

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..images import resize

SHOWN_WIDTH = 720  # pixels of the largest picture shown; scores are counted at the mask's own size
LABEL = {"description_width": "7em"}
WIDE = {"width": "98%"}
ROW = {"display": "flex", "flex_flow": "row wrap", "width": "98%"}


class Tool:
    """An interactive tool. Where nothing can run (GitHub, a printed page) a still picture stands in its place."""

    box: widgets.Widget

    def still(self) -> np.ndarray:
        """What the tool shows at first, uint8 (H, W, 3)."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, object], dict[str, object]]:
        sentence = f"{type(self).__name__}: run this cell in JupyterLab, Colab or Kaggle to use it."
        data = dict(self.box._repr_mimebundle_(**kwargs))
        data["text/plain"] = sentence
        data["image/png"] = base64.b64encode(encode(captioned(self.still(), sentence), "PNG")).decode()
        return data, {"image/png": {"alt": f"Still picture of {sentence}"}}


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """Picture uint8 (H, W, 3) with `text` in a strip below: some pages show nothing but the picture."""
    font = ImageFont.load_default(15)
    width = max(picture.shape[1], round(font.getlength(text)) + 16)
    page = Image.new("RGB", (width, picture.shape[0] + 30), "white")
    page.paste(Image.fromarray(picture))
    ImageDraw.Draw(page).text((8, picture.shape[0] + 6), text, "black", font)
    return np.asarray(page)


def encode(picture: np.ndarray, kind: str = "JPEG") -> bytes:
    """uint8 (H, W, 3 or 4) as bytes of a "JPEG" or "PNG" file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 1}))
    return buffer.getvalue()


def shrink(picture: np.ndarray, width: int = SHOWN_WIDTH) -> np.ndarray:
    """uint8 (H, W, 3) averaged down to at most `width`; smaller pictures are left alone."""
    height, wide = picture.shape[:2]
    if wide <= width:
        return picture
    return np.asarray(resize(Image.fromarray(picture), (width, max(1, round(height * width / wide)))))


def pick(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) sampled at the middle of each pixel of a picture of `shape` = (height, width)."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(shape, values.shape, strict=True)
    )
    return values[rows[:, None], columns]


def picture_widget(kind: str = "jpeg", width: int = SHOWN_WIDTH) -> widgets.Image:
    """Room for a picture, as wide as there is place for, up to `width` pixels."""
    return widgets.Image(format=kind, layout={"width": "98%", "max_width": f"{width}px"})


def with_number(slider: widgets.FloatSlider | widgets.IntSlider, name: str) -> widgets.Widget:
    """The slider with a number field before it, which follows it and moves it.

    A screen reader reads the field's label; sliders of ipywidgets have none that it could read.
    """
    kind = widgets.BoundedFloatText if isinstance(slider, widgets.FloatSlider) else widgets.BoundedIntText
    number = kind(
        slider.value,
        min=slider.min,
        max=slider.max,
        step=slider.step,
        description=name,
        style=LABEL,
        layout={"width": "12.5em"},
    )
    for trait in ("max", "value"):
        widgets.jslink((slider, trait), (number, trait))
    slider.readout = False
    slider.layout.flex, slider.layout.min_width = "1 1 120px", "120px"
    return widgets.HBox([number, slider], layout=WIDE)
