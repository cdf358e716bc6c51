"""Body styles and paints: the measures that every car of the sample starts from. Plain Python.

Lengths are in metres. Colours are linear RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BodyStyle:
    """The size of a car and the corner points of its side view.

    Points are (x, z). For `cowl` (the foot of the windscreen) and `screen_top`, x is measured backwards from the front
    axle. For `roof_end` and `rear_base` (top and foot of the rear window), x is measured forwards from the rear bumper.
    """

    length: float
    width: float
    height: float
    wheelbase: float
    front_overhang: float
    wheel_radius: float
    clearance: float
    nose: float  # height of the bonnet's front edge
    cowl: tuple[float, float]
    screen_top: tuple[float, float]
    peak: float  # distance of the roof's highest point behind the windscreen's top edge
    roof_end: tuple[float, float]
    rear_base: tuple[float, float]
    deck: float  # height of the boot lid, or of the tailgate's shoulder, at the rear end
    roof_width: float  # roof half-width over body half-width
    doors: int  # on each side
    pillars: tuple[float, ...]  # window pillars, as a share of the way from the windscreen's foot to the rear base


_NAMES = ("hatchback", "saloon", "coupe", "estate", "suv", "pickup", "van")
# A row a measure; its columns are the styles in the order of _NAMES.
_MEASURES = {
    "length": (4.15, 4.82, 4.65, 4.80, 4.72, 5.60, 5.05),
    "width": (1.77, 1.84, 1.86, 1.83, 1.90, 2.00, 1.98),
    "height": (1.48, 1.48, 1.37, 1.48, 1.74, 1.90, 1.77),
    "wheelbase": (2.58, 2.80, 2.72, 2.79, 2.74, 3.58, 3.02),
    "front_overhang": (0.84, 0.94, 0.92, 0.93, 0.93, 0.96, 0.95),
    "wheel_radius": (0.315, 0.335, 0.345, 0.330, 0.370, 0.410, 0.345),
    "clearance": (0.19, 0.18, 0.15, 0.18, 0.24, 0.32, 0.20),
    "nose": (0.74, 0.72, 0.70, 0.73, 0.92, 1.12, 0.84),
    "cowl": ((0.30, 1.00), (0.42, 0.99), (0.55, 0.95), (0.40, 1.00), (0.36, 1.16), (0.42, 1.30), (0.06, 1.12)),
    "screen_top": ((1.12, 1.41), (1.30, 1.41), (1.38, 1.30), (1.25, 1.39), (1.12, 1.64), (1.08, 1.80), (1.02, 1.66)),
    "peak": (0.45, 0.50, 0.38, 0.60, 0.50, 0.55, 0.60),
    "roof_end": ((0.42, 1.41), (1.34, 1.41), (1.42, 1.28), (0.62, 1.40), (0.48, 1.66), (2.12, 1.83), (0.36, 1.68)),
    "rear_base": ((0.10, 1.04), (0.62, 1.08), (0.52, 1.04), (0.14, 1.06), (0.12, 1.20), (1.98, 1.38), (0.12, 1.10)),
    "deck": (1.00, 1.05, 1.01, 1.02, 1.15, 1.34, 1.08),
    "roof_width": (0.70, 0.69, 0.67, 0.71, 0.74, 0.77, 0.77),
    "doors": (2, 2, 1, 2, 2, 2, 2),
    "pillars": ((0.50, 0.84), (0.50, 0.86), (0.60,), (0.42, 0.70), (0.42, 0.74), (0.53,), (0.36, 0.66)),
}
STYLES: dict[str, BodyStyle] = {
    name: BodyStyle(**{measure: row[column] for measure, row in _MEASURES.items()})
    for column, name in enumerate(_NAMES)
}

# Colour name -> (linear RGB, metallic share, roughness of the base coat).
PAINTS: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "black": ((0.004, 0.004, 0.005), 0.0, 0.35),
    "white": ((0.74, 0.74, 0.735), 0.0, 0.40),
    "silver": ((0.50, 0.51, 0.53), 0.75, 0.38),
    "grey": ((0.075, 0.08, 0.09), 0.5, 0.40),
    "red": ((0.36, 0.008, 0.014), 0.1, 0.35),
    "dark red": ((0.11, 0.006, 0.014), 0.3, 0.38),
    "blue": ((0.012, 0.07, 0.34), 0.35, 0.36),
    "navy": ((0.008, 0.012, 0.055), 0.2, 0.36),
    "green": ((0.03, 0.07, 0.03), 0.3, 0.40),
    "beige": ((0.42, 0.36, 0.26), 0.6, 0.40),
    "brown": ((0.10, 0.065, 0.045), 0.4, 0.40),
    "orange": ((0.62, 0.13, 0.012), 0.1, 0.36),
}
