"""The page docs/results.md: its text from docs/results.md.in, its numbers from JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
TEMPLATE = ROOT / "docs" / "results.md.in"

Found = dict[str, dict]


def read_results() -> Found:
    """Every JSON file of docs/results and its experiments by its name without .json, and of the speed benchmarks."""
    files = [*RESULTS.glob("*.json"), *(RESULTS / "experiments").glob("*.json")]
    files += [ROOT / "benchmarks" / "results" / name for name in ("speed.json", "gpu.json")]
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(files)}


def page(found: Found) -> str:
    """The whole page. Raises jinja2.UndefinedError for a name in the template that no result has."""
    return _template().render(found)


def blocks(found: Found) -> dict[str, str]:
    """The parts of the page that README repeats, by the name that `{% block NAME %}` and README's markers give them."""
    template = _template()
    context = template.new_context(found)
    return {name: "".join(block(context)).strip("\n") for name, block in template.blocks.items()}


def _template() -> Template:
    env = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters["places"] = lambda number, places: f"{number:.{places}f}"
    env.globals |= {"means": means, "minutes": minutes, "apart": apart}
    return env.get_template(TEMPLATE.name)


def means(experiment: dict, name: str) -> dict[str, float]:
    """For each arm of an experiment the mean of one number over its seeds."""
    return {arm: mean(run[name] for run in runs) for arm, runs in experiment["arms"].items()}


def minutes(experiment: dict) -> float:
    """Minutes of all trainings of an experiment together."""
    return sum(run["minutes"] for runs in experiment["arms"].values() for run in runs)


def apart(experiment: dict, arm: str, other: str) -> bool:
    """Whether two arms differ by more than their seeds do: all Dice of one are above all Dice of the other."""
    first, second = ([run["dice"] for run in experiment["arms"][name]] for name in (arm, other))
    return min(first) > max(second) or min(second) > max(first)
