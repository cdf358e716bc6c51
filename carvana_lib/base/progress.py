"""A progress bar that is silent where there is nothing to write it to, as in a program without a console."""

from __future__ import annotations

import sys

from tqdm.auto import tqdm as _tqdm


class tqdm(_tqdm):  # noqa: N801 (the library's own name)
    """`tqdm.auto.tqdm`, switched off where `sys.stderr` is None."""

    def __init__(self, *arguments: object, disable: bool = False, **settings: object) -> None:
        super().__init__(*arguments, disable=disable or sys.stderr is None, **settings)

    @classmethod
    def write(cls, s: str, *arguments: object, **settings: object) -> None:
        """As tqdm's own, which before version 4.70 fails where `sys.stdout` is None."""
        if sys.stdout is not None:
            super().write(s, *arguments, **settings)
