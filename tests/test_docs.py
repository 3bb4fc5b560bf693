"""The pages: every message they explain is one that hymtl says, every link leads somewhere, the notebook runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = '"data=folder", "data.root={root}", "backbone=efficientnet_lite0", "data.workers=0", "epochs=1"'


def test_the_messages_that_troubleshooting_explains_are_those_that_hymtl_says():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    explained = re.findall(r"^### `(.+)`$", page, re.M)
    code = "\n".join(file.read_text() for file in (ROOT / "hymtl").rglob("*.py"))
    said = re.sub(r'"\s+f?"', "", code)  # strings that go on in the next line
    assert len(explained) > 15
    assert [words for words in explained if words not in said] == []


def test_the_site_builds_without_a_warning_and_asks_no_network(tmp_path):
    pytest.importorskip("material", reason="the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pages = {file.stem: file.read_text() for file in tmp_path.glob("*.html")}
    assert "Predictor" in pages["api"] and "troubleshooting" in pages
    for page in pages.values():
        assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?://', page)


def test_the_notebook_runs_from_its_first_cell_to_its_last(pictures, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('"epochs=5"', SMALL.format(root=pictures))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    last = notebook.cells[-1].outputs[-1]
    assert last.output_type == "execute_result" and "confidence" in last.data["text/plain"]
    assert (tmp_path / "outputs" / "comparison.html").is_file()
