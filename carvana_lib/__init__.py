"""U-Net segmentation of Carvana photos: ten files that are made to be read, and folders behind them.

Read in this order: `config` (every setting), `images` (a file becomes an array), `data` (photos, masks, folds),
`transforms` (augmentation of a batch), `unet` (the net), `losses` (what is minimised), `training` (one step, one
epoch), `metrics` (counts become scores), `evaluation` (a net is scored), `prediction` (a photo becomes a mask).
They write nothing to disk. The rest lies in folders: `base` (files, devices, errors), `prepare` (download, check and
decode the data), `run` (a training and what it leaves on disk), `extras` (thresholds, tiles, Kaggle's file, ONNX),
`pictures`, `widgets` and `cli`.

`from carvana_lib import fit, evaluate` and so on: each name below is loaded when it is first used.
"""

import sys
import warnings
from importlib import import_module

if not __debug__ and "ipykernel" in sys.modules:
    from .base.errors import CarvanaWarning

    _WHAT = "PYTHONOPTIMIZE is set: Python skips every `assert`, so checkpoints and exercises accept wrong answers"
    warnings.warn(f"{_WHAT}. Remove that variable and restart the kernel", CarvanaWarning, stacklevel=2)

_NAMES = {
    "prepare.set_up": "add_packages",
    # Data: files become arrays, cars are split into folds.
    "data": "CarvanaDataset TEST_FOLD TRAINING_FOLDS VALIDATION_FOLD find_data held_out_fold list_pairs",
    "images": "read_labels read_mask read_photo",
    "base.image_files": "resize",
    "base.classes": "palette",
    "prepare.cache": "cached_dataset",
    "prepare.description": "describe_folder",
    "prepare.doctor": "check_data",
    "transforms": "Augment normalise",
    # The net and its weights.
    "unet": "UNet",
    "run.weights": "load_model load_pretrained",
    "extras.onnx": "export_onnx",
    # Training.
    "config": "TrainConfig preset",
    "losses": "bce_dice_loss bce_loss",
    "training": "Trainer",
    "run.fit": "draw_batches epoch_order fit open_datasets",
    "run.folder": "remove_run",
    "base.devices": "best_device",
    # Prediction and scores.
    "prediction": "predict_array predict_labels predict_logits predict_photo upsample",
    "metrics": "accuracy bootstrap_interval boundary boundary_error confusion dice iou precision recall",
    "evaluation": "baselines evaluate",
    "extras.class_baselines": "class_baselines",
    "extras.thresholds": "predict_dataset",
    "extras.tiles": "predict_tiled",
    "extras.neighbours": "nearest_outside random_parts",
    "extras.submission": "read_submission rle_decode rle_encode write_submission",
    # Pictures.
    "pictures.overlays": "BLUE ORANGE error_map overlay",
    "pictures.class_overlays": "class_overlay",
    "pictures.figures": "picture_grid plot_confusion plot_extremes plot_history show show_table",
    "pictures.u_drawing": "draw_unet record_levels",
    # Tools to drag, and the errors that say what to do.
    "widgets.threshold_tuner": "ThresholdTuner",
    "widgets.explorers": "AugmentationExplorer FeatureViewer Turntable",
    "widgets.segmenter": "PhotoSegmenter",
    "base.errors": "CarvanaError",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Load the module that defines a public name, and keep the name (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'carvana_lib' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
