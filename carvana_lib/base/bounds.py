"""What a setting may be stands beside its field: `depth: Annotated[int, Between(1, 8)] = 4`. Here it is checked."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from .errors import CarvanaError


@dataclass(frozen=True)
class Between:
    """The numbers from `least` to `most`; with `ends=False` without these two."""

    least: float
    most: float
    ends: bool = True

    def __contains__(self, number: float) -> bool:
        return self.least <= number <= self.most and (self.ends or number not in (self.least, self.most))

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"at least {self.least}"
        return f"from {self.least} to {self.most}" if self.ends else f"above {self.least} and below {self.most}"


def check_fields(settings: object) -> None:
    """Check every field of a frozen dataclass; ints become floats and lists become tuples where the type asks for it.

    Raises CarvanaError for a value of the wrong type or out of its bounds; the message says what is allowed.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        kind, *bounds = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        value = _converted(name, getattr(settings, name), kind)
        for bound in bounds:
            if not all(number in bound for number in (value if isinstance(value, tuple) else (value,))):
                raise CarvanaError(f"{name}={value} must be {bound}")
        object.__setattr__(settings, name, value)


def _converted(name: str, value: object, kind: object) -> object:
    if get_origin(kind) is Literal:
        fits, allowed = value in get_args(kind), f"one of {', '.join(map(str, get_args(kind)))}"
    elif kind == tuple[int, int]:
        fits = isinstance(value, list | tuple) and [type(number) for number in value] == [int, int]
        allowed = "two whole numbers, width and height"
    elif kind == tuple[str, ...]:
        fits = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        allowed = "a list of names"
    elif kind is float and type(value) in (int, float):
        fits, allowed = abs(value) <= sys.float_info.max, "a finite number"
    else:
        fits, allowed = type(value) is kind, f"{kind.__name__}, not {type(value).__name__}"
    if not fits:
        raise CarvanaError(f"{name}={value!r} must be {allowed}")
    return value if get_origin(kind) is Literal else kind(value)
