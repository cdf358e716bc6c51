"""Write docs/results.md and its plots from the recorded results, and check README and two other pages against them.

python -m tools.results            # `make results`: fails if a page has a score that was not recorded
python -m tools.results --readme   # and put the table of scores into README
"""

from __future__ import annotations

import argparse
import re
import sys

from .page import RESULTS, ROOT, blocks, page, read_results
from .plots import draw_all

README = ROOT / "README.md"
CHECKED = (README, ROOT / "data" / "README.md", ROOT / "docs" / "model_card.md")
_SCORE = re.compile(r"(?<![\w.])[01]\.\d{3,}(?![\w.]*\d)")  # three decimals or more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="put claim and table of scores into README")
    options = parser.parse_args()
    found = read_results()
    (ROOT / "docs" / "results.md").write_text(page(found), encoding="utf-8")
    draw_all(found, RESULTS / "plots")
    text = README.read_text(encoding="utf-8")
    wanted = fill(text, blocks(found))
    if options.readme:
        README.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        sys.exit("README's table differs from docs/results: find out why, then run `python -m tools.results --readme`")
    known = numbers(found)
    faults = [fault for file in CHECKED for fault in strangers(file.read_text(encoding="utf-8"), file.name, known)]
    if faults:
        sys.exit("\n".join(faults))
    print(f"docs/results.md and {len(list((RESULTS / 'plots').glob('*.png')))} plots written; README agrees")


def fill(text: str, parts: dict[str, str]) -> str:
    """`text` with what stands between <!-- begin NAME --> and <!-- end NAME --> replaced."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(\n<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"README has no place for `{name}`: put <!-- begin {name} --> and <!-- end {name} --> there")
        text = pattern.sub(lambda match, part=part: match[1] + part + match[2], text)
    return text


def numbers(value: object) -> list[str]:
    """Every number under `value`, at full length; also those inside strings."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    if isinstance(value, str):
        return re.findall(r"\d+\.\d+", value)
    return [repr(float(value))] if isinstance(value, int | float) else []


def scores(text: str) -> list[str]:
    """The scores that stand in `text`, each once."""
    return sorted(set(_SCORE.findall(text)))


def strangers(text: str, name: str, known: list[str]) -> list[str]:
    """A line for each score in the page `name` that no result rounds to."""
    faults = []
    for score in scores(text):
        places = len(score.split(".")[1])
        if not any(f"{float(number):.{places}f}" == score for number in known):
            faults.append(f"{name}: {score} is not among the results in docs/results")
    return faults


if __name__ == "__main__":
    main()
