"""tools/notebooks.py saves a notebook without what a run leaves beside the outputs."""

from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.notebooks import clean


def test_a_run_leaves_outputs_and_the_title_and_nothing_else():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "a tool"}
    cell = new_code_cell("1", metadata={"execution": {"iopub.status.idle": "now"}, "tags": ["hide-output"]})
    cell.outputs = [new_output("display_data", view, metadata={"image/png": {"alt": "a"}})]
    notebook = new_notebook(
        cells=[cell], metadata={"title": "Tune", "widgets": {}, "language_info": {"name": "python", "version": "3"}}
    )
    clean(notebook)
    assert cell.metadata == {"tags": ["hide-output"]}
    assert cell.outputs[0].data == {"text/plain": "a tool"}
    assert cell.outputs[0].metadata == {"image/png": {"alt": "a"}}
    assert sorted(notebook.metadata) == ["kernelspec", "language_info", "title"]
    assert notebook.metadata.title == "Tune"
    assert "title" not in _cleaned(new_notebook()).metadata


def _cleaned(notebook):
    clean(notebook)
    return notebook
