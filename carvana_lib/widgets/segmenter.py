"""Cut a car out of your own photo, in a notebook."""

from __future__ import annotations

import base64
import html
import sys
import threading
from pathlib import Path
from types import ModuleType

import ipywidgets as widgets
import numpy as np
from PIL import Image
from torch import nn

from ..base.arrays import as_image, check_mask, check_photo
from ..base.errors import CarvanaError
from ..config import TrainConfig
from ..images import read_photo
from ..pictures.overlays import overlay
from ..prediction import predict_array
from .tool import BUTTON, ROW, Tool, encode, on_change, pick, shrink, with_number

_HELP = (
    "It goes to the machine this notebook runs on and nowhere else. "
    "<details><summary>A photo does not arrive?</summary>It may have up to 100 megapixels. {}</details>"
)
# How to get a photo in that is too large for the upload button.
_JUPYTER = (
    "If a file of more than 10 MB does not arrive, start JupyterLab with <code>make lab</code>, or give the tool its "
    'path: <code>PhotoSegmenter(model, config, "photo.jpg")</code>.'
)
_COLAB = (
    "In Colab the button takes files of up to about 1 MB. For a larger photo, give the tool a name, "
    "<code>tool = PhotoSegmenter(model, config)</code>, and run <code>tool.ask()</code> in a new cell: it opens "
    "Colab's own file dialogue."
)
# Held while a photo is decoded and predicted: of several big uploads, one at a time is in memory at its full size.
_UPLOAD_LOCK = threading.Lock()


def _colab_files() -> ModuleType | None:
    """Colab's module for files, where this is Colab."""
    if "google.colab" not in sys.modules:
        return None
    from google.colab import files

    return files


def cut_out(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The car of a photo, uint8 (H, W, 3), alone: uint8 (H, W, 4), transparent black outside `mask`, bool (H, W).

    Any other photo or mask raises a ValueError.
    """
    check_photo(photo)
    check_mask(mask, photo.shape[:2])
    # The background is black, not only transparent: a viewer that ignores transparency does not show it either.
    return np.dstack([photo, np.full_like(photo[..., 0], 255)]) * mask[..., None]


class PhotoSegmenter(Tool):
    """Upload a photo, choose a threshold, take the cut-out home.

    `model` and `config` are from `load_pretrained`; `photo`, as `predict_array` takes it or the path of a file, is
    shown until another one is chosen. Raises CarvanaError if that file cannot be read.
    """

    def __init__(
        self, model: nn.Module, config: TrainConfig, photo: np.ndarray | Image.Image | str | Path | None = None
    ) -> None:
        super().__init__()
        self.model, self.size = model, config.size
        self.photo: np.ndarray | None = None
        self.upload = widgets.FileUpload(accept="image/*", description="Choose a photo", layout=BUTTON)
        self.make = widgets.Button(description="Make the cut-out", layout=BUTTON)
        self.threshold = widgets.FloatSlider(0.5, min=0, max=1, step=0.01)
        self.message, self.link = widgets.HTML(), widgets.HTML()
        rows = [widgets.Box([self.upload, self.make], layout=ROW), with_number(self.threshold, "Threshold")]
        self.picture.layout.max_height, self.picture.layout.object_fit = "60vh", "contain"  # for upright photos
        text = widgets.HTML(_HELP.format(_COLAB if _colab_files() else _JUPYTER))
        self.box = widgets.VBox([*rows, self.message, self.picture, self.link, text])
        on_change(self._take_upload, self.upload)
        on_change(self.update, self.threshold)
        self.make.on_click(lambda _: self.offer())
        if photo is None:
            self.picture.layout.display = "none"
        elif isinstance(photo, str | Path):
            self.segment(Path(photo).stem, read_photo(photo))
        else:
            self.segment("photo", photo)

    def ask(self) -> None:
        """Ask for a photo with Colab's own file dialogue, which takes files of any size. Run it in a cell of its own.

        Raises CarvanaError anywhere but in Colab.
        """
        files = _colab_files()
        if files is None:
            raise CarvanaError("this is not Colab: use the tool's button, or give the photo's path, photo=PATH")
        for name, content in files.upload().items():
            self._take(name, content)

    def _take_upload(self) -> None:
        # ipywidgets 7 gives a dict by name, ipywidgets 8 a tuple.
        if isinstance(self.upload.value, dict):
            files = [(name, file["content"]) for name, file in self.upload.value.items()]
        else:
            files = [(file.name, file.content) for file in self.upload.value]
        for name, content in files[-1:]:
            self._take(name, bytes(content))

    def _take(self, name: str, content: bytes) -> None:
        """Segment an uploaded photo; if that fails, say why."""
        name = Path(name).name or "photo"
        # Of a photo that is refused, the tool must not offer the cut-out of the one before.
        self.photo, self.link.value = None, ""
        self.picture.value, self.picture.layout.display, self.still = b"", "none", Tool.still
        self.message.value = f"Looking for a car in {html.escape(name)} ..."
        try:
            with _UPLOAD_LOCK:
                self.segment(Path(name).stem, read_photo(name, content=content))
        except CarvanaError as error:
            self.message.value = html.escape(f"{error}. Then choose a photo again.")
        except Exception as error:
            # Whatever a file does to the decoder, the tool stays usable.
            self.message.value = html.escape(f"{name} cannot be used ({type(error).__name__}).")

    def segment(self, name: str, photo: np.ndarray | Image.Image) -> None:
        """Predict the mask of `photo`, as `predict_array` takes it, and show it."""
        photo = np.asarray(as_image(photo))
        # If a step fails, for example for want of memory, photo and mask before it both stay.
        probability, small_photo = predict_array(self.model, photo, self.size), shrink(photo)
        self._small_photo, self._small_probability = small_photo, pick(probability, small_photo.shape[:2])
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
        (height, width), mask = self.photo.shape[:2], self._small_probability > self.threshold.value
        self.show(overlay(self._small_photo, mask))
        self.picture.layout.display = None
        self.message.value = f"{html.escape(self.name)}: {width} x {height} pixels, {mask.mean():.1%} car."

    def offer(self) -> None:
        """Offer a link to the cut-out as PNG, at the photo's own size."""
        if self.photo is None:
            self.message.value = "Choose a photo first."
            return
        data = base64.b64encode(encode(cut_out(self.photo, self.mask), "PNG")).decode()
        name = html.escape(f"{self.name}_cutout.png")
        # Underlined, in the text's colour: a browser's own blue is hard to read on a dark page.
        link = (
            f'download="{name}" href="data:image/png;base64,{data}" style="color: inherit; text-decoration: underline"'
        )
        self.link.value = f"<a {link}>Download {name}</a>"
