"""The notebooks of the examples run from top to bottom, and are stored without outputs."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from tiny.recipes import TINY

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"

# The first cell of each notebook sets all sizes; a test replaces it by smaller ones.
SMALL = {
    "tokens_and_a_language_model": 'FOLDER = "tokens"; PICTURES = 40; WIDTH, STEPS, BATCH = 4, 2, 8',
    "train_and_look": f'RUN = "run"; EVALUATED = 8; SETTINGS = {[*TINY, "tokenizer.quantizer.codebook_sizes=[16]"]}',
}
PLOTS = {"tokens_and_a_language_model": 1, "train_and_look": 3}

notebooks = pytest.mark.parametrize("name", SMALL)


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def names_set(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SMALL)


@notebooks
def test_it_is_stored_without_outputs(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert [cell.source for cell in code_cells(notebook) if cell.outputs or cell.execution_count is not None] == []
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
@notebooks
def test_it_runs(name: str, tmp_path: Path) -> None:
    notebook = read(name)
    settings, *others = code_cells(notebook)
    assert names_set(SMALL[name]) == names_set(settings.source)
    settings.source = SMALL[name]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in others for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == PLOTS[name]
    # Warnings, which readers would see; that of a library without ipywidgets depends on what else is installed.
    warned = [output.text for output in outputs if output.get("name") == "stderr"]
    assert [text for text in warned if "ipywidgets" not in text] == []
