"""Weights of a net as .safetensors files: written, checked and read; those that come with the package."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..base.devices import is_out_of_memory
from ..base.errors import CarvanaError, CarvanaWarning
from ..base.files import expanded, write_atomically
from ..config import TrainConfig
from ..unet import UNet

BEST_WEIGHTS = "best.safetensors"
PRETRAINED = Path(__file__).parent.parent / "weights"


def save_weights(path: str | Path, model: nn.Module, config: TrainConfig, **notes: str) -> None:
    """Write the weights of `model` as .safetensors, with `config`, `notes` and a checksum in its metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"config": config.to_json(), **notes}
    metadata["sum"] = _checksum(tensors, metadata)
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def _checksum(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 of metadata and tensors with their names: safetensors has no checksum of its own."""
    covered = {name: text for name, text in metadata.items() if name != "sum"}
    digest = hashlib.sha256(json.dumps(covered, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def weights_file(path: str | Path) -> Path:
    """The .safetensors file itself, the best weights of a run folder, or the weights of that name in the package."""
    path = expanded(path)
    try:
        exists = path.exists()
    except OSError as error:
        raise CarvanaError(
            f"cannot look for weights at {path} ({error.strerror}): check its folders and name"
        ) from None
    if not exists and (PRETRAINED / f"{path}.safetensors").exists():
        return PRETRAINED / f"{path}.safetensors"
    if path.is_dir():
        path = path / BEST_WEIGHTS
        if not path.exists():
            raise CarvanaError(f"{path.parent} holds no {BEST_WEIGHTS}: train for an epoch first, or name another run")
    if not path.is_file():  # reading a pipe would wait forever
        cure = f"check the path, train with `carvana train`, or take those named {_pretrained_names()}"
        raise CarvanaError(f"no weights {path}: {cure}")
    return path


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[UNet, TrainConfig]:
    """The trained U-Net of a .safetensors file or a run folder, ready to predict, and the settings of its training.

    Raises CarvanaError: no such file, not weights, or not weights of a U-Net of its own config.
    """
    path = weights_file(path)
    try:
        tensors, metadata = _read_weights(path)
    except OSError as error:
        raise CarvanaError(f"{path} cannot be read ({error}): look at its permissions and its disk") from None
    config = TrainConfig.from_json(metadata["config"], path)
    try:
        # On a device without memory: a config that lies may ask for any amount of it.
        with torch.device("meta"):
            model = config.build_model()
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        what = f"{path} does not fit the net of its own config ({_mismatch(error)})"
        raise CarvanaError(f"{what}: get the file again") from None
    # The weights of the package are in half precision.
    return model.float().to(device).eval(), config


def _mismatch(error: RuntimeError) -> str:
    """The last line of what load_state_dict says: the first names only the class."""
    return str(error).splitlines()[-1].strip()


def _read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata. CarvanaError if they are damaged; what may pass (see `is_passing`) is raised as it is."""
    path.open("rb").close()  # says why a file cannot be read, which safetensors does not
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        if is_passing(error):
            raise
        raise CarvanaError(f"{path} {_why_none(path, error)}") from None
    if "config" not in metadata or "sum" not in metadata:
        raise CarvanaError(f"{path} was not written by carvana_lib: its metadata has no config or no checksum")
    if metadata["sum"] != _checksum(tensors, metadata):
        raise CarvanaError(f"{path} is damaged (its checksum does not match): train again or get the file again")
    return tensors, metadata


def _why_none(path: Path, error: Exception) -> str:
    """What a file is that holds no weights, and what to name instead."""
    if path.suffix == ".safetensors":
        return f"holds no usable weights ({error}): train again or get the file again"
    what = "is a checkpoint to resume from" if path.suffix == ".pt" else "is not a .safetensors file"
    best = path.parent / BEST_WEIGHTS
    run = f"name the run folder, {path.parent}, or {best}"
    return f"{what}, and not weights: {run if best.exists() else 'name a run folder or a .safetensors file'}"


def is_passing(error: Exception) -> bool:
    """Whether the machine cannot read a file just now; a damaged file may also fail with EINVAL, a seek before 0."""
    failing_disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return failing_disk or is_out_of_memory(error)


def load_pretrained(name: str = "small", device: torch.device | str = "cpu") -> tuple[UNet, TrainConfig]:
    """A trained U-Net of the package, and its settings; `docs/model_card.md` says how it was trained."""
    path = PRETRAINED / f"{name}.safetensors"
    if not path.exists():
        raise CarvanaError(f"carvana_lib has no weights named {name!r}: choose one of {_pretrained_names()}")
    return load_model(path, device)


def _pretrained_names() -> str:
    return ", ".join(sorted(file.stem for file in PRETRAINED.glob("*.safetensors")))


def start_weights(model: UNet, path: str | Path, quiet: bool = False) -> None:
    """Give `model` the weights of `path`. Raises CarvanaError as `load_model`, or if the nets differ in shape.

    If only the number of classes differs, the last layer keeps its own weights, and one line says so unless `quiet`.
    """
    trained, _ = load_model(path)
    weights, own = trained.state_dict(), model.state_dict()
    head = {name: own[name] for name in ("head.weight", "head.bias") if weights[name].shape != own[name].shape}
    try:
        model.load_state_dict(weights | head)
    except RuntimeError as error:
        cure = "set base_channels, depth, norm, up and patch as there"
        raise CarvanaError(f"start={path}: its net has another shape ({_mismatch(error)}): {cure}") from None
    if head and not quiet:
        was, now = (len(values["head.bias"]) // model.patch**2 for values in (weights, own))
        what = f"its last layer, of {was} logit{'s' * (was > 1)} a pixel, is replaced by a new one of {now}"
        print(f"start={path}: {what}, with random weights", file=sys.stderr)


def best_dice(out: str | Path) -> float:
    """Validation Dice of the weights in best.safetensors; -1 where there are none that can be used.

    Warns when there are some that are damaged. Raises CarvanaError if they cannot be read just now.
    """
    path = expanded(out) / BEST_WEIGHTS
    try:
        return float(_read_weights(path)[1]["dice"])
    except FileNotFoundError:
        return -1.0
    except (CarvanaError, KeyError, ValueError) as error:
        warnings.warn(f"{path} is not used ({error}): the next epoch replaces it", CarvanaWarning, stacklevel=2)
        return -1.0
    except OSError as error:
        raise CarvanaError(f"{path} cannot be read ({error}): look at its permissions and its disk") from None
