"""Run the README's test command under several Python versions, one after the other, each in a fresh clone.

    python -m benchmarks.reliability.pythons [--versions 3.11 3.12 3.13] [--json FILE]

What is tested is what is committed: tests, style checks and notebooks, in an environment of its own (several
GB while it is there, in a temporary folder). uv finds the Python versions on the PATH, or fetches them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = [sys.executable, "-m", "uv"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=["3.11", "3.12", "3.13"])
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "pythons.json")
    options = parser.parse_args()
    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    for version in options.versions:
        results[version] = run(version)
        print(version, json.dumps(results[version]), flush=True)
        options.json.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    raise SystemExit(any(results[version]["status"] for version in options.versions))


def run(version: str) -> dict[str, object]:
    """Versions; tests and notebook cells that passed; how many of both were skipped or failed; seconds; exit status."""
    if not find(version):
        subprocess.run([*UV, "python", "install", "--quiet", version], check=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
        began = time.perf_counter()
        done = subprocess.run(
            ["make", "test", f"PYTHON={find(version)}"],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        )
        seconds = time.perf_counter() - began
        print(done.stdout[-3000:], flush=True)
        python = next(Path(folder, ".venv").glob("[bS]*/python*"), sys.executable)
        what = "import platform, torch, numpy; print(platform.python_version(), torch.__version__, numpy.__version__)"
        versions = subprocess.run([python, "-c", what], capture_output=True, text=True, check=True).stdout.split()
    counts = [int(number) for number in re.findall(r"(\d+) passed", done.stdout)]
    others = {word: sum(map(int, re.findall(rf"(\d+) {word}", done.stdout))) for word in ("skipped", "failed", "error")}
    return {
        **dict(zip(("python", "torch", "numpy"), versions, strict=True)),
        **dict(zip(("tests", "cells"), [*counts, 0, 0], strict=False)),
        "skipped": others["skipped"],
        "failed": others["failed"] + others["error"],
        "status": done.returncode,
        "seconds": round(seconds),
    }


def find(version: str) -> str:
    """Path of that Python, or "" if it is not installed."""
    return subprocess.run(
        [*UV, "python", "find", "--system", "--no-project", version], capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
