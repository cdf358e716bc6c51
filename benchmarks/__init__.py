"""Measurements. Run one from the project folder: `python -m benchmarks.FOLDER.NAME`. Results go to results/."""
