"""What the notebooks need on a learner's machine: seconds, processor time and memory, one notebook after the other.

    python -m benchmarks.classroom.classroom            # all notebooks and exercises, about as long as `make run`
    python -m benchmarks.classroom.classroom 04 08      # only these; the other rows stay as they are
    python -m benchmarks.classroom.classroom --tables   # measure nothing, only write the tables in docs/teach

Writes benchmarks/results/classroom.json: a row for each notebook, and the memory of JupyterLab's server. Then writes
the tables of docs/teach/guide.md and docs/teach/jupyterhub.md. Memory is the resident size of the kernel and of all
processes that it starts, summed ten times a second; a memory limit for each learner has to allow this much. The
committed notebooks do not change.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import nbformat
import psutil

from notebooks.run import execute

from ..common import RESULTS, ROOT, SAMPLE, command_line, write

JSON = RESULTS / "classroom.json"
PORT = 8897


class Watch:
    """Measures the processes that this process starts within `with`: peak memory, processor seconds by process id."""

    def __enter__(self) -> Watch:
        self.peak, self.processor, self._stop = 0, {}, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            resident = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    with process.oneshot():
                        resident += process.memory_info().rss
                        self.processor[process.pid] = sum(process.cpu_times()[:2])
                except psutil.Error:
                    continue
            self.peak = max(self.peak, resident)

    @property
    def gigabytes(self) -> float:
        return round(self.peak / 1e9, 2)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("numbers", nargs="*", help="notebooks by number, as in 04; default: all, and the server")
    parser.add_argument("--tables", action="store_true", help="only write the tables")
    options = parser.parse_args()
    if not options.tables:
        run(options.numbers)
    write_tables(json.loads(JSON.read_text()))


def run(numbers: list[str]) -> None:
    os.environ["CARVANA_DATA"] = str(SAMPLE)
    found = json.loads(JSON.read_text()) if JSON.exists() else {}
    rows = found.get("notebooks", {})
    folders = ROOT / "notebooks", ROOT / "notebooks" / "exercises"
    for path in [path for folder in folders for path in sorted(folder.glob("[01]*.ipynb"))]:
        if numbers and path.name[:2] not in numbers:
            continue
        name = path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
        rows[name] = measure(path)
        print(f"{name:40}", *(f"{key} {value:<8}" for key, value in rows[name].items()), flush=True)
    server = found.get("server_gb") if numbers else measure_server()
    write(JSON, {"server_gb": server, "notebooks": rows})


def measure(path: Path) -> dict[str, float]:
    """Run the notebook in memory: seconds, processor seconds and peak memory."""
    notebook = nbformat.read(path, as_version=4)
    began = time.perf_counter()
    with Watch() as watch:
        execute(notebook, path.parent)
    seconds = time.perf_counter() - began
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(sum(watch.processor.values()), 1),
        "peak_gb": watch.gigabytes,
    }


def measure_server() -> float:
    """Memory in GB of a JupyterLab server that has answered, before it starts a kernel."""
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={PORT}"]
        command += [f"--ServerApp.root_dir={folder}", "--IdentityProvider.token="]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, **quiet)
        try:
            _wait_for(server)
            time.sleep(1)
        finally:
            server.kill()  # there is nothing to save
            server.wait()
    return watch.gigabytes


def _wait_for(server: subprocess.Popen) -> None:
    for _ in range(300):
        time.sleep(1)
        assert server.poll() is None, "JupyterLab did not start"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/lab", timeout=20).read()
            return
        except OSError:
            continue
    raise TimeoutError("JupyterLab did not answer within five minutes")


def write_tables(found: dict) -> None:
    """Write the tables between the markers of the teacher's pages."""
    _between("guide.md", "times", times(found["notebooks"]))
    _between("jupyterhub.md", "needs", needs(found["notebooks"], found["server_gb"] or 0.0))


def times(rows: dict[str, dict[str, float]]) -> str:
    """A table with a row for each notebook, without the exercises."""
    lines = ["| notebook | minutes to read | seconds to run | processor seconds | peak memory |"]
    lines += ["|:--|--:|--:|--:|--:|"]
    for name in [name for name in rows if "/" not in name]:
        path = ROOT / "notebooks" / f"{name}.ipynb"
        row, first = rows[name], nbformat.read(path, as_version=4).cells[0].source
        minutes = re.search(r"\*\*Time\*\* (\d+) minutes", first).group(1)
        link = f"[{first.splitlines()[0].lstrip('# ')}](../../notebooks/{path.name})"
        lines.append(
            f"| {link} | {minutes} | {row['seconds']:.0f} | {row['processor_seconds']:.0f} | {row['peak_gb']:.1f} GB |"
        )
    return "\n".join(lines)


def needs(rows: dict[str, dict[str, float]], server: float) -> str:
    """A table of the memory and processor time for one learner and for thirty; `server` in GB."""
    lesson = max(row["peak_gb"] for name, row in rows.items() if "/" not in name)
    in_one_process = max(row["peak_gb"] for name, row in rows.items() if not re.search("^10|/", name))
    exercise = max(row["peak_gb"] for name, row in rows.items() if "/" in name)
    seconds = sum(row["processor_seconds"] for row in rows.values())
    need = lesson + exercise + server
    # The plan of 120 minutes opens 01, 02, 08 and an exercise, and nobody shuts a kernel down.
    two_hours = sum(row["peak_gb"] for name, row in rows.items() if re.match("0[128]_", name)) + exercise + server
    lines = ["| | a learner | thirty learners |", "|:--|--:|--:|"]
    for name, value, unit in (
        ("largest kernel of notebooks 01 to 09", in_one_process, "GB"),
        ("notebook 10, which trains in two more processes", lesson, "GB"),
        ("largest exercise's kernel, open beside it", exercise, "GB"),
        ("JupyterLab's server", server, "GB"),
        ("**memory at once: 01 to 09, an exercise, the server**", need - lesson + in_one_process, "GB"),
        ("**a lesson of 120 minutes: 01, 02, 08, an exercise, the server, nothing shut down**", two_hours, "GB"),
        ("**notebook 10, an exercise, the server**", need, "GB"),
        ("processor time, all notebooks and exercises once", seconds / 60, "minutes"),
    ):
        lines.append(f"| {name} | {value:.1f} {unit} | {30 * value:.0f} {unit} |")
    return "\n".join(lines)


def _between(page: str, marker: str, text: str) -> None:
    path = ROOT / "docs" / "teach" / page
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
