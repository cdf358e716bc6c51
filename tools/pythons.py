"""Run the tests that need no browser and no notebook under several Python versions, one after the other.

    python tools/pythons.py [--versions 3.11 3.12 3.13] [--tests FILE ...] [--json FILE]

Each version gets an environment of its own from requirements.lock, in a temporary folder that is
removed again (several GB while it is there). uv finds the Python versions on the PATH, or fetches them.
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

ROOT = Path(__file__).parent.parent
SLOW = ("browser", "exercises", "notebooks", "processes", "render", "run")
UV = [sys.executable, "-m", "uv"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=Path, nargs="+", help="default: all but the slow ones")
    parser.add_argument("--versions", nargs="+", default=["3.11", "3.12", "3.13"])
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "pythons.json")
    options = parser.parse_args()
    tests = options.tests or sorted(t for t in (ROOT / "tests").glob("test_*.py") if t.stem[5:] not in SLOW)
    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    for version in options.versions:
        results[version] = run(version, [str(test) for test in tests])
        print(version, json.dumps(results[version]), flush=True)
        options.json.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    raise SystemExit(any(results[version]["failed"] for version in options.versions))


def run(version: str, tests: list[str]) -> dict[str, object]:
    """Versions, tests passed, skipped and failed, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*UV, "venv", "--quiet", "--python", version, folder, "--clear"], check=True)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        packages = ["-r", str(ROOT / "requirements.lock"), "-e", str(ROOT)]
        subprocess.run([*UV, "pip", "install", "--quiet", "--python", python, *packages], check=True)
        what = "import platform, torch, numpy; print(platform.python_version(), torch.__version__, numpy.__version__)"
        versions = subprocess.run([python, "-c", what], capture_output=True, text=True, check=True).stdout.split()
        began = time.perf_counter()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            [python, "-m", "pytest", *tests], cwd=ROOT, text=True, capture_output=True, env=environment
        )
        print(done.stdout[-3000:], done.stderr[-3000:], flush=True)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|skipped|failed|error)", done.stdout)}
    return {
        **dict(zip(("python", "torch", "numpy"), versions, strict=True)),
        **{word: counts.get(word, 0) for word in ("passed", "skipped")},
        "failed": counts.get("failed", 0) + counts.get("error", 0) + (done.returncode not in (0, 1)),
        "seconds": round(time.perf_counter() - began),
        "files": [Path(test).name for test in tests],
    }


if __name__ == "__main__":
    main()
