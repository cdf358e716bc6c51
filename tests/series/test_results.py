"""The results page and README hold the numbers of docs/results, and nothing else."""

import json

import pytest

from tools import results

FOUND = results.read_results(results.RESULTS)


def test_the_committed_page_is_what_the_json_files_say():
    assert (results.ROOT / "docs" / "results.md").read_text() == results.page(FOUND), "run `make results`"


def test_readme_holds_the_tables():
    text = results.README.read_text()
    assert results.fill(text, results.blocks(FOUND)) == text, "run `python tools/results.py --readme`"


@pytest.mark.parametrize("file", results.CHECKED, ids=lambda file: file.name)
def test_every_score_in_prose_was_measured(file):
    assert results.strangers(file.read_text(), file.name, results.numbers(FOUND)) == []


def test_a_score_that_was_not_measured_is_named():
    known = results.numbers({"dice": 0.98765, "rows": [{"quoted": "99.635 % and 0.991"}]})
    assert results.strangers("Dice 0.988, 0.9877 and 0.991; version 0.98.7", "README.md", known) == []
    assert results.strangers("Dice 0.987 and 0.9876", "README.md", known) == [
        "README.md: 0.987 is not among the results in docs/results",
        "README.md: 0.9876 is not among the results in docs/results",
    ]


def test_a_changed_result_changes_page_and_readme():
    other = json.loads(json.dumps(FOUND))
    other["small"]["dice"] = 0.12345
    assert "0.1235" in results.page(other)
    text = results.README.read_text()
    assert results.fill(text, results.blocks(other)) != text


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(SystemExit, match="no place for `scores`"):
        results.fill("no markers here", results.blocks(FOUND))
