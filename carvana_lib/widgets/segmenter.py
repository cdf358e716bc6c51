"""Cut a car out of your own photo, in a notebook."""

from __future__ import annotations

import base64
import html
import tempfile
import threading
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from torch import nn

from ..base.errors import CarvanaError
from ..config import TrainConfig
from ..images import read_photo
from ..pictures.overlays import overlay
from ..prediction import predict_array
from .tool import ROW, Tool, encode, pick, picture_widget, shrink, with_number

_HELP = (
    "A JPEG or PNG of up to 50 megapixels; it goes to the machine this notebook runs on and nowhere else. If a file "
    "over 10 MB does not arrive, start JupyterLab with <code>make lab</code>, or give the tool "
    "<code>photo=read_photo(path)</code>."
)


def cut_out(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The car on nothing: uint8 (H, W, 4), transparent black outside the mask.

    Args:
        photo: uint8 (H, W, 3).
        mask: bool (H, W).
    """
    # The background is really gone, not only hidden: a viewer that ignores alpha shows none of it.
    return np.dstack([photo, np.full_like(photo[..., 0], 255)]) * mask[..., None]


def read_upload(name: str, content: bytes) -> np.ndarray:
    """An uploaded photo as uint8 RGB (H, W, 3), turned as its EXIF says.

    Raises:
        CarvanaError: not an image, damaged, or of more than images.MOST_PIXELS; `name` stands in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).name or "photo")
        path.write_bytes(content)
        try:
            return read_photo(path)
        except CarvanaError as error:
            message = str(error).replace(f"{folder}/", "").replace(f"{folder}\\", "")
            raise CarvanaError(message.replace("replace or remove it", "choose a JPEG or PNG file")) from None


# Of several big photos at once, only one is in memory at its full size.
_ONE_AT_A_TIME = threading.Lock()


class PhotoSegmenter(Tool):
    """Upload a photo, choose a threshold, take the cut-out home.

    Args:
        model, config: as `load_pretrained` gives them.
        photo: shown until one is uploaded, uint8 (H, W, 3).
    """

    def __init__(self, model: nn.Module, config: TrainConfig, photo: np.ndarray | None = None) -> None:
        self.model, self.size = model, config.size
        self.upload = widgets.FileUpload(
            accept="image/*", multiple=False, description="Choose a photo", layout={"width": "14em"}
        )
        self.threshold = widgets.FloatSlider(0.5, min=0, max=1, step=0.01)
        self.picture = picture_widget()
        self.picture.layout.display = "none"
        self.make = widgets.Button(description="Make the cut-out", layout={"width": "14em"})
        self.message, self.link = widgets.HTML(), widgets.HTML()
        row = widgets.Box([self.upload, self.make], layout=ROW)
        self.box = widgets.VBox(
            [widgets.HTML(_HELP), row, with_number(self.threshold, "Threshold"), self.message, self.link, self.picture]
        )
        self.photo: np.ndarray | None = None
        self.name = "photo"
        self.upload.observe(lambda _: self._take_upload(), "value")
        self.threshold.observe(lambda _: self.update(), "value")
        self.make.on_click(lambda _: self.offer())
        if photo is not None:
            self.segment("photo", photo)

    def _take_upload(self) -> None:
        if not self.upload.value:
            return
        file = self.upload.value[0]
        self.link.value = ""
        self.message.value = f"Looking for a car in {html.escape(file.name)} ..."
        try:
            with _ONE_AT_A_TIME:
                self.segment(Path(file.name).stem, read_upload(file.name, bytes(file.content)))
        except CarvanaError as error:
            self.message.value = html.escape(str(error))
        except Exception as error:
            # Whatever a file does to the decoder, the tool stays usable.
            self.message.value = f"{html.escape(file.name)} cannot be used ({html.escape(type(error).__name__)})."

    def segment(self, name: str, photo: np.ndarray) -> None:
        """Predict the mask of `photo`, uint8 (H, W, 3), and show it."""
        # All of it before any is kept: a photo too big for memory must not get the mask of the one before.
        probability = predict_array(self.model, photo, self.size)
        shown = shrink(photo)
        self._small, self._shown = pick(probability, shown.shape[:2]), shown
        self.name, self.photo, self.probability = name, photo, probability
        self.update()

    @property
    def mask(self) -> np.ndarray:
        """The mask at the photo's own size: bool (H, W)."""
        return self.probability > self.threshold.value

    def update(self) -> None:
        """Show the mask at the chosen threshold."""
        self.link.value = ""
        if self.photo is None:
            return
        height, width = self.photo.shape[:2]
        small = self._small > self.threshold.value
        self.picture.value = encode(overlay(self._shown, small))
        self.picture.layout.display = None
        self.message.value = f"{html.escape(self.name)}: {width} x {height} pixels, {small.mean():.1%} car."

    def offer(self) -> None:
        """A link to the cut-out as PNG, at the photo's own size."""
        if self.photo is None:
            self.message.value = "Choose a photo first."
            return
        data = base64.b64encode(encode(cut_out(self.photo, self.mask), "PNG")).decode()
        name = html.escape(f"{self.name}_cutout.png", quote=True)
        # Underlined, in the text's colour: a browser's own blue is hard to read on a dark page.
        self.link.value = (
            f'<a download="{name}" href="data:image/png;base64,{data}" '
            f'style="color: inherit; text-decoration: underline">Download {name}</a>'
        )

    def still(self) -> np.ndarray:
        if self.photo is None:
            return np.full((90, 320, 3), 235, np.uint8)
        return overlay(self._shown, self._small > self.threshold.value)
