"""Where the notebooks run: what the page shows, the dev container, and the workflow that publishes the book."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tools.notebooks import set_up_cell
from tools.site.book import BUILD

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_set_up_cell():
    assert f"```python\n{set_up_cell()}\n```" in (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")


def test_the_container_makes_the_environment_and_lets_codespaces_in(tmp_path):
    """`make` itself is replaced by a word: the environment has several GB."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    command = container["postCreateCommand"].split()
    shutil.copytree(ROOT / ".devcontainer", tmp_path / ".devcontainer")
    (tmp_path / "Makefile").write_text(".venv/ready:\n\tmkdir .venv && touch $@\n")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / ".venv" / "ready").exists()
    server = json.loads((tmp_path / ".venv" / "etc" / "jupyter" / "jupyter_server_config.json").read_text())
    allowed = re.compile(server["ServerApp"]["allow_origin_pat"])
    assert allowed.match("https://fluffy-robot-4j7-8888.app.github.dev")
    for other in ("https://app.github.dev.example.org", "http://a-8888.app.github.dev", "https://a.app.github.dev.b.c"):
        assert not allowed.match(other)
    assert re.search(r"^SETUP := \.venv/ready$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_workflow_publishes_what_make_book_builds():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    assert workflow[True]["push"] == {"branches": ["main"]}  # YAML reads the key "on" as true
    steps = workflow["jobs"]["publish"]["steps"]
    assert any(step.get("run", "").startswith("make book") for step in steps)
    uploads = [step for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert ROOT / uploads[0]["with"]["path"] == BUILD / "book"
    assert {"pages": "write", "id-token": "write"}.items() <= workflow["permissions"].items()


@pytest.mark.parametrize("name", ["colab", "kaggle"])
def test_the_lists_of_packages_pin_each_version(name):
    lines = (ROOT / "benchmarks" / "platforms" / f"{name}.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert len(packages) > 100
    assert [line for line in packages if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []
