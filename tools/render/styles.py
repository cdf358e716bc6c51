"""Body styles and paints: the measures that every car of the sample starts from; plain Python.

Lengths are metres, colours linear RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BodyStyle:
    """One body style: its size and the corner points of its side view.

    Points are (x, z): x is measured from the front axle backwards for `cowl` (the windscreen's foot) and `screen_top`,
    from the rear bumper forwards for `roof_end` and `rear_base` (the rear window's top and foot).
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
    peak: float  # how far behind the windscreen's top edge the roof is highest
    roof_end: tuple[float, float]
    rear_base: tuple[float, float]
    deck: float  # height of the boot lid or tailgate's shoulder at the rear end
    roof_width: float  # roof half-width over body half-width
    doors: int  # on each side
    pillars: tuple[float, ...]  # window pillars, as a share of the way from the windscreen's foot to the rear base


STYLES: dict[str, BodyStyle] = {
    "hatchback": BodyStyle(
        length=4.15,
        width=1.77,
        height=1.48,
        wheelbase=2.58,
        front_overhang=0.84,
        wheel_radius=0.315,
        clearance=0.19,
        nose=0.74,
        cowl=(0.30, 1.00),
        screen_top=(1.12, 1.41),
        peak=0.45,
        roof_end=(0.42, 1.41),
        rear_base=(0.10, 1.04),
        deck=1.00,
        roof_width=0.70,
        doors=2,
        pillars=(0.50, 0.84),
    ),
    "saloon": BodyStyle(
        length=4.82,
        width=1.84,
        height=1.48,
        wheelbase=2.80,
        front_overhang=0.94,
        wheel_radius=0.335,
        clearance=0.18,
        nose=0.72,
        cowl=(0.42, 0.99),
        screen_top=(1.30, 1.41),
        peak=0.50,
        roof_end=(1.34, 1.41),
        rear_base=(0.62, 1.08),
        deck=1.05,
        roof_width=0.69,
        doors=2,
        pillars=(0.50, 0.86),
    ),
    "coupe": BodyStyle(
        length=4.65,
        width=1.86,
        height=1.37,
        wheelbase=2.72,
        front_overhang=0.92,
        wheel_radius=0.345,
        clearance=0.15,
        nose=0.70,
        cowl=(0.55, 0.95),
        screen_top=(1.38, 1.30),
        peak=0.38,
        roof_end=(1.42, 1.28),
        rear_base=(0.52, 1.04),
        deck=1.01,
        roof_width=0.67,
        doors=1,
        pillars=(0.60,),
    ),
    "estate": BodyStyle(
        length=4.80,
        width=1.83,
        height=1.48,
        wheelbase=2.79,
        front_overhang=0.93,
        wheel_radius=0.330,
        clearance=0.18,
        nose=0.73,
        cowl=(0.40, 1.00),
        screen_top=(1.25, 1.39),
        peak=0.60,
        roof_end=(0.62, 1.40),
        rear_base=(0.14, 1.06),
        deck=1.02,
        roof_width=0.71,
        doors=2,
        pillars=(0.42, 0.70),
    ),
    "suv": BodyStyle(
        length=4.72,
        width=1.90,
        height=1.74,
        wheelbase=2.74,
        front_overhang=0.93,
        wheel_radius=0.370,
        clearance=0.24,
        nose=0.92,
        cowl=(0.36, 1.16),
        screen_top=(1.12, 1.64),
        peak=0.50,
        roof_end=(0.48, 1.66),
        rear_base=(0.12, 1.20),
        deck=1.15,
        roof_width=0.74,
        doors=2,
        pillars=(0.42, 0.74),
    ),
    "pickup": BodyStyle(
        length=5.60,
        width=2.00,
        height=1.90,
        wheelbase=3.58,
        front_overhang=0.96,
        wheel_radius=0.410,
        clearance=0.32,
        nose=1.12,
        cowl=(0.42, 1.30),
        screen_top=(1.08, 1.80),
        peak=0.55,
        roof_end=(2.12, 1.83),
        rear_base=(1.98, 1.38),
        deck=1.34,
        roof_width=0.77,
        doors=2,
        pillars=(0.53,),
    ),
    "van": BodyStyle(
        length=5.05,
        width=1.98,
        height=1.77,
        wheelbase=3.02,
        front_overhang=0.95,
        wheel_radius=0.345,
        clearance=0.20,
        nose=0.84,
        cowl=(0.06, 1.12),
        screen_top=(1.02, 1.66),
        peak=0.60,
        roof_end=(0.36, 1.68),
        rear_base=(0.12, 1.10),
        deck=1.08,
        roof_width=0.77,
        doors=2,
        pillars=(0.36, 0.66),
    ),
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
