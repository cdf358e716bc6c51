"""Scripts for maintainers; each runs from the project folder as `python -m tools.NAME`."""
