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
            sections.append(
                f"\n### {title}\n\n{finding(found)}\n\n![{_ALTS[name]}](results/plots/{name}.png)\n\n{budget}"
            )
    return (
        'every arm of a comparison has the same budget, every dot is one seed. "More than another seed makes" means: '
        "every seed of one arm is above every seed of the other: of two seeds each, a hint and no proof.\n"
        + "\n".join(sections)
    )


def _budget(one: dict) -> str:
    if "arms" not in one:
        return f"{one['photos']} photos; no training."
    rows = [row for arm in one["arms"].values() for row in arm]
    minutes = sum(row["minutes"] for row in rows)
    seeds = len(next(iter(one["arms"].values())))
    return (
        f"{one['steps']} steps of {one['batch_size']} photos, {one['base_channels']} base channels, {seeds} seeds an "
        f"arm; {minutes:.0f} minutes of training in all, on one core of a busy machine."
    )


def _dice(found: Found, name: str) -> dict[str, float]:
    """Mean Dice over the seeds of each arm."""
    return {arm: mean(row["dice"] for row in rows) for arm, rows in found[name]["arms"].items()}


def _than_seeds(found: Found, name: str, one: str, other: str) -> str:
    """Whether two arms differ by more than their seeds do: all of one's above all of the other's."""
    first, second = ([row["dice"] for row in found[name]["arms"][arm]] for arm in (one, other))
    apart = min(first) > max(second) or min(second) > max(first)
    return "more than another seed makes" if apart else "no more than another seed makes"


def _split(found: Found) -> str:
    one = _dice(found, "split")
    leak = one["by photo"] - one["by car"]
    photos = found["split"]["arms"]["by car"][0]["test_photos"]
    return (
        f"On the same {photos} photos, a net that trained on other views of these very cars reaches "
        f"{one['by photo']:.4f}, one that never saw the cars {one['by car']:.4f}: the leak is {leak:+.4f}, "
        f"{_than_seeds(found, 'split', 'by photo', 'by car')}. A net this small, trained this shortly, cannot learn "
        "single cars by heart; what a larger one gains that way no new car would see, so the split goes by car."
    )


def _masks(found: Found) -> str:
    one = _dice(found, "masks")
    return (
        f"With masks averaged to the net's size Dice is {one['soft']:.4f}, with masks cut at one half "
        f"{one['hard']:.4f}, a difference of {_than_seeds(found, 'masks', 'soft', 'hard')}. The ceilings above say "
        "what the average is worth to a net whose outlines are nearly right; this one is not there yet."
    )


def _size(found: Found) -> str:
    one = _dice(found, "size")
    ceiling = found["ceilings"]["sizes"]
    rows = ", ".join(
        f"{value:.4f} at {size} (ceiling {ceiling[size]['soft']['dice']:.4f})" for size, value in one.items()
    )
    return (
        f"After equally many steps the net reaches {rows}. The larger sizes win although each is far from its ceiling; "
        f"they also take longer, {_minutes(found)} minutes a run."
    )


def _minutes(found: Found) -> str:
    return ", ".join(f"{mean(row['minutes'] for row in rows):.1f}" for rows in found["size"]["arms"].values())


def _loss(found: Found) -> str:
    one = sorted(_dice(found, "loss").items(), key=lambda item: -item[1])
    rows = ", ".join(f"{name} {value:.4f}" for name, value in one)
    (best, _), (second, _) = one[:2]
    return (
        f"From best to worst: {rows}. The first is ahead of the second by {_than_seeds(found, 'loss', best, second)}."
    )


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
        f"Dice is {rows} training cars, each net having seen equally many photos. Ten cars are too few; from 90 to 180 "
        f"the difference is {_than_seeds(found, 'cars', '90', '180')}."
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


_ALTS = {
    "split": "Error of nets tested on the same photos: by car and by photo lie side by side",
    "masks": "Error with soft and with hard training masks, two seeds each",
    "size": "Error falls as the input grows from 120x80 to 480x320, far above the dashed line of the true masks",
    "loss": "Error with four losses, two seeds each; boundary is lowest",
    "skips": "Error with and without skip connections, two seeds each; without is higher",
    "cars": "Error against 10, 30, 90 and 180 training cars: a steep fall to 30, then a flat line",
    "thresholds": "1 - Dice and 1 - accuracy against the threshold: two bowls of the same shape",
}
