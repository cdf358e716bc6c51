"""What each experiment found, in two sentences whose numbers come from its JSON file."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

Found = dict[str, dict]


def experiments(found: Found) -> str:
    """The Markdown of all experiments that were run."""
    sections = []
    for name, (title, finding) in FINDINGS.items():
        if name in found:
            budget = _budget(found[name])
            sections.append(f"\n### {title}\n\n{finding(found)}\n\n![{title}](results/plots/{name}.png)\n\n{budget}")
    return "every arm of a comparison has the same budget, every dot is one seed.\n" + "\n".join(sections)


def _budget(one: dict) -> str:
    if "arms" not in one:
        return f"{one['photos']} photos; no training."
    rows = [row for arm in one["arms"].values() for row in arm]
    minutes = sum(row["minutes"] for row in rows)
    seeds = len(next(iter(one["arms"].values())))
    return (
        f"{one['steps']} steps of {one['batch_size']} photos, {one['base_channels']} base channels, {seeds} seeds an "
        f"arm, {minutes:.0f} minutes of training in all."
    )


def _dice(found: Found, name: str) -> dict[str, float]:
    """Mean Dice over the seeds of each arm."""
    return {arm: mean(row["dice"] for row in rows) for arm, rows in found[name]["arms"].items()}


def _split(found: Found) -> str:
    one = _dice(found, "split")
    leak = one["by photo"] - one["by car"]
    photos = found["split"]["arms"]["by car"][0]["test_photos"]
    return (
        f"On the same {photos} photos, a net that trained on other views of these very cars reaches "
        f"{one['by photo']:.4f}, one that never saw the cars {one['by car']:.4f}: a random split of photos adds "
        f"{leak:+.4f} that no new car would see. Both trained on as many photos, so nothing but the split differs."
    )


def _masks(found: Found) -> str:
    one = _dice(found, "masks")
    return (
        f"With masks averaged to the net's size Dice is {one['soft']:.4f}, with masks cut at one half "
        f"{one['hard']:.4f}. The average keeps where inside a pixel the outline runs, and the upsampled logits can "
        "draw it there."
    )


def _size(found: Found) -> str:
    one = _dice(found, "size")
    ceiling = found["ceilings"]["sizes"]
    rows = ", ".join(
        f"{value:.4f} at {size} (ceiling {ceiling[size]['soft']['dice']:.4f})" for size, value in one.items()
    )
    return (
        f"After equally many steps the net reaches {rows}. None is near its ceiling: so early in training the size is "
        "not what holds it back."
    )


def _loss(found: Found) -> str:
    one = sorted(_dice(found, "loss").items(), key=lambda item: -item[1])
    rows = ", ".join(f"{name} {value:.4f}" for name, value in one)
    return f"From best to worst: {rows}. The dots show how much of the difference another seed makes."


def _skips(found: Found) -> str:
    one = _dice(found, "skips")
    factor = (1 - one["without"]) / (1 - one["with"])
    return (
        f"With the skip connections Dice is {one['with']:.4f}, with zeros in their place {one['without']:.4f}: "
        f"{factor:.1f} times the error from as many parameters. What the bottom of the net has forgotten about where "
        "the outline runs, nothing brings back."
    )


def _cars(found: Found) -> str:
    one = _dice(found, "cars")
    rows = ", ".join(f"{value:.4f} with {cars}" for cars, value in one.items())
    return (
        f"Dice is {rows} training cars, each net having seen equally many photos. New cars help more than more views "
        "of the same ones."
    )


def _thresholds(found: Found) -> str:
    one = found["thresholds"]
    curve = one["curve"]
    at = {name: curve[name][50] for name in ("dice", "accuracy")}
    best = max(curve["dice"])
    return (
        f"Dice is highest at {one['best_dice']:.2f}, accuracy at {one['best_accuracy']:.2f}; at 0.5 they are "
        f"{at['dice']:.4f} and {at['accuracy']:.4f}, and the best threshold adds {best - at['dice']:.5f} of Dice. The "
        "two curves have one shape: accuracy adds nothing but a flattering scale."
    )


FINDINGS: dict[str, tuple[str, Callable[[Found], str]]] = {
    "split": ("Split by car or by photo", _split),
    "masks": ("Soft or hard masks", _masks),
    "size": ("Input size", _size),
    "loss": ("Loss", _loss),
    "skips": ("Skip connections", _skips),
    "cars": ("Number of training cars", _cars),
    "thresholds": ("Accuracy and Dice across thresholds", _thresholds),
}
