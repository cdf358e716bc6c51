"""A progress bar that is silent where there is nothing to write it to, as in a program without a console."""

from __future__ import annotations

import sys

from tqdm.auto import tqdm as _tqdm


class tqdm(_tqdm):  # noqa: N801 (the library's own name)
    """`tqdm.auto.tqdm`, switched off where `sys.stderr` is None."""

    def __init__(self, *arguments: object, disable: bool = False, **settings: object) -> None:
        super().__init__(*arguments, disable=disable or sys.stderr is None, **settings)
