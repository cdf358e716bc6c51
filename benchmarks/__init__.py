"""Measurements; each runs from the project folder as `python -m benchmarks.FOLDER.NAME`, results lie in results/."""
