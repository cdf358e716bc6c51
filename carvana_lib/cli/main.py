"""The `carvana` command: train, evaluate, predict, submit, export, download, check-data, cache.

Exit status: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr

from ..base.errors import CarvanaError, CarvanaWarning, reason
from ..run.stopping import interrupt_on_sigterm
from . import commands
from .options import build_parser, printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    if sys.stderr is None:  # a program without a console, such as pythonw
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            return main(arguments)
    parser = build_parser()
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A file's name may hold bytes that are no text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), interrupt_on_sigterm():
            warnings.showwarning = _show_warning
            return getattr(commands, f"run_{options.command.replace('-', '_')}")(options)
    except KeyboardInterrupt as stop:
        print(f"\ncarvana: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output went away, as `head` does: nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            raise
        print(f"carvana: {printable(_one_line(error))}", file=sys.stderr)
        return 1


def _one_line(error: Exception) -> str:
    from ..base.devices import is_out_of_memory

    if isinstance(error, CarvanaError):
        return str(error)
    if is_out_of_memory(error):
        return "not enough memory: end other programs, or use smaller photos or sizes"
    return f"unexpected {type(error).__name__} ({reason(error)}): run again with --debug to see where"


def _show_warning(message: Warning, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    ours = issubclass(category, CarvanaWarning)
    text = f"carvana: {printable(str(message))}\n"
    sys.stderr.write(text if ours else warnings.formatwarning(message, category, filename, lineno))
