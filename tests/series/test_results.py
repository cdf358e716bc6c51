"""The results page and README hold the numbers of docs/results, and nothing else."""

import json

import pytest
from jinja2 import UndefinedError
from safetensors import safe_open

from benchmarks.experiments import protocols
from carvana_lib import TrainConfig, preset
from carvana_lib.run.weights import PRETRAINED
from tools.results import __main__ as results
from tools.results import page

FOUND = page.read_results()


def text_of(name: str) -> str:
    return (page.ROOT / name).read_text(encoding="utf-8")


def changed() -> dict:
    return json.loads(json.dumps(FOUND))


def test_the_committed_page_is_what_the_json_files_say():
    assert text_of("docs/results.md") == page.page(FOUND), "run `make results`"


def test_no_score_is_typed_by_hand_into_the_page():
    assert results.scores(page.TEMPLATE.read_text(encoding="utf-8")) == []
    assert f"{FOUND['small']['dice']:.4f}" in results.scores(text_of("docs/results.md"))


def test_a_result_that_is_missing_is_named():
    other = changed()
    del other["ceilings"]["sizes"]
    with pytest.raises(UndefinedError, match="sizes"):
        page.page(other)


def test_readme_holds_claim_and_table():
    text = text_of("README.md")
    assert results.fill(text, page.blocks(FOUND)) == text, "run `python -m tools.results --readme`"


def test_readme_repeats_lines_of_the_page():
    parts = page.blocks(FOUND)
    assert set(parts) == {"claim", "scores"}
    assert "`published`" in parts["claim"]
    assert "`small`" in parts["scores"]
    assert all(part in text_of("docs/results.md") for part in parts.values())


@pytest.mark.parametrize("file", results.CHECKED, ids=lambda file: file.relative_to(page.ROOT).as_posix())
def test_every_score_in_prose_was_measured(file):
    assert results.strangers(file.read_text(encoding="utf-8"), file.name, results.numbers(FOUND)) == []


def test_a_score_that_was_not_measured_is_named():
    known = results.numbers({"dice": 0.98765, "rows": [{"quoted": "99.635 % and 0.991"}]})
    assert results.strangers("Dice 0.988, 0.9877 and 0.991; version 0.98.7", "README.md", known) == []
    assert results.strangers("Dice 0.987 and 0.9876", "README.md", known) == [
        "README.md: 0.987 is not among the results in docs/results",
        "README.md: 0.9876 is not among the results in docs/results",
    ]


def test_a_changed_result_changes_page_and_readme():
    other = changed()
    other["small"]["dice"] = 0.12345
    assert "0.1235" in page.page(other)
    text = text_of("README.md")
    assert results.fill(text, page.blocks(other)) != text


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(SystemExit, match="no place for `claim`"):
        results.fill("no markers here", page.blocks(FOUND))


def test_a_difference_is_larger_than_seeds_make_only_if_the_arms_do_not_overlap():
    runs = {"a": [0.90, 0.92], "b": [0.93, 0.94], "c": [0.91, 0.95]}
    one = {"arms": {arm: [{"dice": dice, "minutes": 2.0} for dice in values] for arm, values in runs.items()}}
    assert page.apart(one, "a", "b")
    assert page.apart(one, "b", "a")
    assert not page.apart(one, "a", "c")
    assert page.means(one, "dice")["a"] == pytest.approx(0.91)
    assert page.minutes(one) == 12


@pytest.mark.parametrize("name", ["README.md", "docs/results.md", "docs/model_card.md"])
def test_the_recipe_is_the_one_that_the_weights_record(name):
    with safe_open(PRETRAINED / "small.safetensors", framework="np") as file:
        recorded = file.metadata()["command"]
    assert recorded.startswith("carvana train --preset small ")
    assert recorded in text_of(name)


@pytest.mark.parametrize(
    ("result", "name"), [("small_training", "small"), ("published_photo", "published"), ("published_car", "published")]
)
def test_the_preset_holds_the_settings_of_the_recorded_training(result, name):
    assert TrainConfig.from_json(json.dumps(FOUND[result]["config"])) == preset(name)


def test_the_thresholds_were_measured_with_the_shipped_weights():
    curve = FOUND["thresholds"]["curve"]
    assert curve["dice"][50] == pytest.approx(FOUND["small"]["dice"], abs=1e-5)
    assert curve["accuracy"][50] == pytest.approx(FOUND["small"]["accuracy"], abs=1e-5)


def test_the_split_by_photo_scores_96_photos_of_cars_that_are_trained_on():
    train, scored = protocols.split_pairs(page.ROOT / "data" / "sample", "photo")
    assert len(scored) == FOUND["published_photo"]["n_val"] == 96
    assert not {pair.name for pair in train} & {pair.name for pair in scored}
    assert {pair.car for pair in scored} <= {pair.car for pair in train}
    assert protocols.split_pairs(page.ROOT / "data" / "sample", "photo") == (train, scored)
    train, scored = protocols.split_pairs(page.ROOT / "data" / "sample", "car")
    assert not {pair.car for pair in train} & {pair.car for pair in scored}
