"""Record what the tests noticed of mutmut's mutants: small changes of the library, one at a time.

    rm -rf mutants && OMP_NUM_THREADS=1 mutmut run && python -m benchmarks.reliability.mutants    # or: make mutants

pyproject.toml names the modules and their tests. mutmut changes every function that has no decorator, and runs the
tests that reach it. Writes benchmarks/results/mutants.json: for each module the number of mutants and of those that a
test noticed, and the changed lines of all others. `mutmut browse` shows them too.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from ..common import ROOT, command_line, write

NOTICED = ("killed", "timeout", "segfault")


def main() -> None:
    options = command_line(__doc__, "mutants.json").parse_args()
    modules: dict[str, dict] = defaultdict(lambda: {"mutants": 0, "noticed": 0, "unnoticed": {}})
    for line in mutmut("results", "--all", "true").splitlines():
        name, status = line.strip().split(": ")
        module = modules[name.removeprefix("carvana_lib.").rpartition(".")[0]]
        module["mutants"] += 1
        if status in NOTICED:
            module["noticed"] += 1
        elif status in ("survived", "no tests"):
            module["unnoticed"][name.rpartition(".")[2]] = changed_lines(name)
        else:
            sys.exit(f"{name}: {status}. Run `mutmut run` to its end first.")
    for name, module in modules.items():
        print(f"{name:15} {module['noticed']} of {module['mutants']} noticed")
    write(options.json, {"modules": modules})


def changed_lines(mutant: str) -> list[str]:
    """The lines that the mutant removes (-) and adds (+)."""
    lines = mutmut("show", mutant).splitlines()
    return [line for line in lines if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))]


def mutmut(*arguments: str) -> str:
    """What mutmut prints."""
    command = [Path(sys.executable).with_name("mutmut"), *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
