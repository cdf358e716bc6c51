"""Weights of a net as .safetensors files: written, checked and read; those that come with the package."""

from __future__ import annotations

import errno
import hashlib
import json
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..base.devices import is_out_of_memory
from ..base.errors import CarvanaError, CarvanaWarning
from ..base.files import write_atomically
from ..config import TrainConfig
from ..unet import UNet, with_patches

BEST_WEIGHTS = "best.safetensors"
PRETRAINED = Path(__file__).parent.parent / "weights"


def save_weights(path: Path, model: nn.Module, config: TrainConfig, **notes: str) -> None:
    """Weights of `model` as .safetensors, with `config` and `notes` in its metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"config": config.to_json(), **notes}
    metadata["sum"] = _sum(tensors, json.dumps(metadata, sort_keys=True))
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def _sum(tensors: dict[str, torch.Tensor], text: str = "") -> str:
    """SHA-256 of a text and tensors with their names: safetensors has no check sums of its own."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def weights_file(path: str | Path) -> Path:
    """The .safetensors file itself, the best weights of a run folder, or weights that come with the package."""
    path = Path(path)
    try:
        there = path.exists()
    except OSError as error:
        raise CarvanaError(f"no weights to be had from {path} ({error.strerror}): check its folders and name") from None
    if not there and (PRETRAINED / f"{path}.safetensors").exists():
        return PRETRAINED / f"{path}.safetensors"
    if path.is_dir():
        path = path / BEST_WEIGHTS
        if not path.exists():
            raise CarvanaError(f"{path.parent} holds no {BEST_WEIGHTS}: train for an epoch first, or name another run")
    # Reading a pipe would wait forever.
    if not path.is_file():
        raise CarvanaError(
            f"no weights {path}: check the path, train with `carvana train`, or take those named {_pretrained_names()}"
        )
    return path


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[UNet, TrainConfig]:
    """The trained U-Net, ready to predict, and the settings it was trained with.

    Args:
        path: a .safetensors file, or a run folder.

    Raises:
        CarvanaError: no such file, not weights, or not weights of a U-Net of its own config.
    """
    path = weights_file(path)
    try:
        tensors, metadata = _read_weights(path)
    except OSError as error:
        raise CarvanaError(f"{path} cannot be read ({error}): look at its permissions and its disk") from None
    config = TrainConfig.from_json(metadata["config"], path)
    try:
        # First without memory: a config that lies may ask for any amount of it.
        with torch.device("meta"):
            config.build_model().load_state_dict(tensors, assign=True)
        model = config.build_model()
        model.load_state_dict(tensors)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[-1].strip()
        raise CarvanaError(f"{path} does not fit the net of its own config ({reason}): get the file again") from None
    return model.to(device).eval(), config


def _read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata. CarvanaError if they are damaged; what the machine cannot do now is raised as it is."""
    path.open("rb").close()  # says why a file cannot be read, which safetensors does not
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        if _only_now(error):
            raise
        raise CarvanaError(f"{path} holds no usable weights ({error}): train again or get the file again") from None
    if "config" not in metadata:
        raise CarvanaError(f"{path} was not written by carvana_lib: its metadata has no config")
    covered = {name: text for name, text in metadata.items() if name != "sum"}
    if "sum" in metadata:
        whole = metadata["sum"] == _sum(tensors, json.dumps(covered, sort_keys=True))
    else:
        # The first weights had a sum of the tensors alone, or none.
        whole = "sha256" not in metadata or metadata["sha256"] == _sum(tensors)
    if not whole:
        raise CarvanaError(f"{path} is damaged (its sum is another): train again or get the file again")
    return tensors, metadata


def _only_now(error: Exception) -> bool:
    """Whether the machine could not read just now; a damaged file can send its reader before its start (EINVAL)."""
    failing_disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return failing_disk or is_out_of_memory(error)


def load_pretrained(name: str = "small", device: torch.device | str = "cpu") -> tuple[UNet, TrainConfig]:
    """A trained U-Net that comes with the package, and its settings; `docs/model_card.md` says what it is.

    Raises:
        CarvanaError: there are no weights of that name.
    """
    path = PRETRAINED / f"{name}.safetensors"
    if not path.exists():
        raise CarvanaError(f"no weights named {name!r} come with carvana_lib: choose one of {_pretrained_names()}")
    return load_model(path, device)


def _pretrained_names() -> str:
    return ", ".join(sorted(file.stem for file in PRETRAINED.glob("*.safetensors")))


def start_weights(model: UNet, path: str | Path) -> None:
    """Give `model` the trained weights of `path`, also those of a net that has no patches yet.

    Raises:
        CarvanaError: as `load_model`, or weights of a net of another shape.
    """
    trained, _ = load_model(path)
    state = trained.state_dict()
    if trained.patch == 1 < model.patch:
        state = with_patches(state, model.patch)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CarvanaError(
            f"start={path}: its net has another shape ({reason}): set base_channels, depth, norm, up and patch as there"
        ) from None


def best_dice(out: Path) -> float:
    """Validation Dice of the weights in best.safetensors; -1 where there are none that can be used.

    Warns when there are some that cannot. Raises CarvanaError if they cannot be read just now.
    """
    path = out / BEST_WEIGHTS
    try:
        return float(_read_weights(path)[1]["dice"])
    except FileNotFoundError:
        return -1.0
    except (CarvanaError, KeyError, ValueError) as error:
        warnings.warn(f"{path} is not used ({error}): the next epoch replaces it", CarvanaWarning, stacklevel=2)
        return -1.0
    except OSError as error:
        raise CarvanaError(f"{path} cannot be read ({error}): look at its permissions and its disk") from None
