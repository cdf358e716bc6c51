"""Weights and checkpoints: what training needs to go on; read without running code."""

from __future__ import annotations

import errno
import hashlib
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .config import TrainConfig
from .devices import is_out_of_memory
from .errors import CarvanaError, CarvanaWarning
from .files import write_atomically
from .unet import UNet, with_patches

BEST_WEIGHTS = "best.safetensors"
LAST_CHECKPOINT = "last.pt"
PREVIOUS_CHECKPOINT = "previous.pt"
_STATE = {"parts", "epoch", "step", "steps_per_epoch", "loss_sum", "history"}
PRETRAINED = Path(__file__).parent / "weights"


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


def save_checkpoint(out: Path, state: dict[str, Any], keep: bool = True) -> None:
    """Write all that training needs to go on to last.pt; what was there before becomes previous.pt if `keep`."""

    def write(temporary: Path) -> None:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            # What torch makes of a full disk.
            raise OSError(str(error).splitlines()[0]) from None

    cure = "free some space, then --resume goes on from the checkpoint before"
    write_atomically(out / LAST_CHECKPOINT, write, out / PREVIOUS_CHECKPOINT if keep else None, cure)


def load_checkpoint(out: Path) -> dict[str, Any] | None:
    """The newest usable state that `save_checkpoint` wrote, on the CPU; None if it never wrote one.

    Warns when last.pt is damaged and previous.pt is used; `fell_back` in the state says so too, and that
    the next `save_checkpoint` must not keep last.pt. Raises CarvanaError if neither is usable.
    """
    faults = []
    # Killed between the two renames of a write, a run has only previous.pt, and that is its newest.
    for path in (out / LAST_CHECKPOINT, out / PREVIOUS_CHECKPOINT):
        if not path.exists():
            continue
        try:
            state = _read_checkpoint(path)
        except CarvanaError as error:
            faults.append(str(error))
            continue
        except Exception as error:
            # It may well be whole: an older one must not take its place.
            reason = getattr(error, "strerror", None) or "not enough memory"
            cure = "end other programs, or look at its permissions and its disk, then resume again"
            raise CarvanaError(f"{path} cannot be read now ({reason}): {cure}") from None
        if faults:
            warnings.warn(f"{faults[0]}: going on from the one before, {path}", CarvanaWarning, stacklevel=2)
        return {**state, "fell_back": bool(faults)}
    if faults:
        raise CarvanaError(f"{' and '.join(faults)}: train anew in another --out, from --start {out} if it has weights")
    return None


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in `path`. CarvanaError if it is damaged; what the machine cannot do now is raised as it is."""
    try:
        _check_sums(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if _only_now(error):
            raise
        # torch.load fails in many ways on a damaged file; none of them may start from scratch silently.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CarvanaError(f"{path} is damaged ({reason})") from None
    if not _is_state(state):
        raise CarvanaError(f"{path} is not a checkpoint of carvana_lib")
    return state


def _is_state(state: object) -> bool:
    if not isinstance(state, dict) or not state.keys() >= _STATE:
        return False
    history, counts = state["history"], [state[name] for name in ("epoch", "step", "steps_per_epoch")]
    return (
        all(type(count) is int and count >= 0 for count in counts)
        and isinstance(state["parts"], dict)
        and isinstance(state["loss_sum"], float)
        and isinstance(history, list)
        and len(history) == state["epoch"]
        and all(isinstance(row, dict) and "dice" in row for row in history)
    )


def _check_sums(path: Path) -> None:
    """What torch.load leaves out: the zip's check sums, and entries marked as folders, which it fills with anything."""
    with zipfile.ZipFile(path) as archive:
        # torch.save packs nothing; a small packed file may be one of many gigabytes.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("packed, which torch.save never does")
        folder = next((entry.filename for entry in archive.infolist() if entry.external_attr & 0x10), None)
        if damaged := folder or archive.testzip():
            raise ValueError(f"{damaged} is not as it was written")
