"""Programs for maintainers; each runs from the project folder as `python -m tools.NAME`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the project folder
