"""The first hour of a newcomer: minutes from `git clone` to the first mask, a trained net, the end of notebook 08.

    python -m benchmarks.classroom.newcomer [--repository ADDRESS] [--json FILE]

Clones into an empty folder and runs the README's first command there, `make run`. Nothing is installed, and uv's cache
is not used. The time to read the notebooks is not included.
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
    parser.add_argument(
        "--repository", default=str(ROOT), help="what to clone (default: the last commit of this checkout)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        minutes = follow(options.repository, Path(folder))
    if "end of notebook 08" not in minutes:
        print("`make run` stopped before the end of notebook 08; nothing is written", file=sys.stderr)
        return 1
    write(options.json, {"minutes": minutes})
    return 0


def follow(repository: str, folder: Path) -> dict[str, float]:
    """Minutes from the start to each station."""
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
