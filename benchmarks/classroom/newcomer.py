"""A newcomer's path: minutes from `git clone` to the first mask, to a trained net, and to the end of notebook 08.

    python -m benchmarks.classroom.newcomer [--repository ADDRESS] [--json FILE]

Clones into an empty folder and runs the README's first command there, `make run`, with nothing installed and nothing
in uv's cache. The minutes are the machine's alone: reading comes on top.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..common import ROOT, command_line, write

STATIONS = {"01": "first mask", "06": "trained net", "08": "end of notebook 08"}
_DONE = re.compile(r"\[\d+/\d+\] (\d\d)_\S+ \d+ s")


def main() -> int:
    parser = command_line(__doc__, "newcomer.json")
    parser.add_argument("--repository", default=str(ROOT), help="what to clone; default: this checkout's last commit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        minutes = follow(options.repository, Path(folder))
    if "end of notebook 08" not in minutes:
        print("the path ended early; nothing is written", file=sys.stderr)
        return 1
    write(options.json, {"minutes": minutes})
    return 0


def follow(repository: str, folder: Path) -> dict[str, float]:
    """Minutes since the start at which each station was passed."""
    began = time.perf_counter()
    minutes: dict[str, float] = {}

    def passed(station: str) -> None:
        minutes[station] = round((time.perf_counter() - began) / 60, 1)
        print(f"{minutes[station]:6.1f} minutes: {station}", flush=True)

    checkout = folder / "carvana-unet"
    subprocess.run(["git", "clone", "--quiet", "--single-branch", repository, str(checkout)], check=True)
    passed("cloned")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CARVANA_DATA")}
    fresh = {"PYTHONUNBUFFERED": "1", "UV_NO_CACHE": "1", "CARVANA_CACHE": str(folder / "cache")}
    run = subprocess.Popen(
        ["make", "run"], cwd=checkout, env=kept | fresh, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert run.stdout is not None
    line = ""
    while letter := run.stdout.read(1):
        line += letter
        if line.startswith("[1/") and "installed" not in minutes:
            passed("installed")
        if letter == "\n":
            if found := _DONE.match(line):
                passed(STATIONS.get(found.group(1), f"notebook {found.group(1)}"))
            line = ""
        if "end of notebook 08" in minutes:
            os.killpg(run.pid, signal.SIGTERM)
            break
    run.wait()
    return minutes


if __name__ == "__main__":
    sys.exit(main())
