"""The net as an ONNX file, for programs without PyTorch."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import nn

from ..base.errors import CarvanaError
from ..base.files import expanded, write_atomically


class WithNormalisation(nn.Module):
    """The net with the steps around it: it takes a photo as most programs hold it, and returns probabilities."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        """Photos float32 (N, 3, H, W) in [0, 1] -> probabilities of car (N, 1, H, W), or of several classes."""
        logits = self.model(photo * 2 - 1)
        return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, 1)


def export_onnx(model: nn.Module, size: tuple[int, int], path: str | Path) -> Path:
    """Write `model` as ONNX: input `photo` float32 (N, 3, H, W) in [0, 1], output `probability` (N, 1 or C, H, W).

    `model` is as `load_model` gives it, on any device. `size` is (width, height) of the photos that the ONNX net will
    read; their number N stays free. The one file at `path` holds everything. Missing onnx packages, or a file that
    cannot be written, raise a CarvanaError.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript
    except ImportError as error:
        raise CarvanaError(f"ONNX export needs the package {error.name}: pip install 'carvana-unet[onnx]'") from None
    if [int(part) for part in onnxscript.__version__.split(".")[:2]] < [0, 7] or onnxscript.__version__ == "0.7.0":
        # Their pixel_unshuffle orders the channels in another way: the net would be wrong, without an error.
        raise CarvanaError(f"onnxscript {onnxscript.__version__} exports wrong nets: pip install 'onnxscript>=0.7.1'")
    # The export needs evaluation mode and float32. A copy gets them, so that the caller's net stays as it is.
    model = copy.deepcopy(model).float().eval()
    example = torch.zeros(2, 3, *reversed(size), device=next(model.parameters()).device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            WithNormalisation(model).eval(),
            (example,),
            input_names=["photo"],
            output_names=["probability"],
            dynamic_shapes={"photo": {0: torch.export.Dim("photos", min=1, max=1024)}},
            dynamo=True,
            verbose=False,
        )
    path = expanded(path)
    write_atomically(path, lambda temporary: program.save(str(temporary), external_data=False))
    return path
