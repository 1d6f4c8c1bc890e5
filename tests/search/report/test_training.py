"""The page of one training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import trm
from search.cli import main
from search.report.write import write_report
from tests.conftest import Tiny
from tests.support.browser import CHROMIUM, DRIVER, browser, look


@pytest.fixture
def trained(tiny: Tiny, tmp_path: Path) -> Path:
    config = tiny({"train.reports": 4, "name": "<b>mine</b>"})
    return trm.train(config, out=tmp_path / "trained").folder


def test_a_training_has_a_page(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(trained)]) == 0
    assert f"written to {trained / 'report.html'}" in capsys.readouterr().out
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "<h1>&lt;b&gt;mine&lt;/b&gt;</h1>" in page
    assert "One training, completed: 100% of its compute is spent." in page
    for name in ("curves", "findings", "reproduce"):
        assert f'<section id="{name}"' in page
    rows = [json.loads(line) for line in (trained / "reports.jsonl").read_text().splitlines()]
    [figure] = re.findall(r'id="figure-training-accuracy">(.*?)</script>', page)
    drawn = {one["name"]: one for one in json.loads(figure)["data"]}
    assert drawn["cell_accuracy"]["x"] == [row["step"] for row in rows]
    assert drawn["cell_accuracy"]["y"] == pytest.approx(
        [row["cell_accuracy"] for row in rows], rel=1e-4
    )
    assert "hidden_size: 16" in page
    assert str(tmp_path) not in page, "no path of the machine that wrote it"


def test_a_training_that_has_hardly_begun_has_one_too(trained: Path, tmp_path: Path) -> None:
    reports = trained / "reports.jsonl"
    reports.write_text("".join(reports.read_text().splitlines(keepends=True)[:2]))
    page = write_report(trained, tmp_path / "page.html").read_text()
    assert "2 reports of 4. A curve is drawn from 3 on." in page
    assert "figure-training" not in page
    reports.unlink()
    page = write_report(trained, tmp_path / "page.html").read_text()
    assert "No report yet, of 4." in page
    assert '<section id="curves"' not in page


def test_data_files_are_named_without_their_folders(tmp_path: Path, tiny: Tiny) -> None:
    rows = "\n".join(f"{n:04d},{n % 7:04d}" for n in range(120))
    (tmp_path / "mine.csv").write_text(f"inputs,labels\n{rows}\n")
    tree = tiny() | {"task": {"name": "data", "file": str(tmp_path / "mine.csv")}}
    page = write_report(trm.train(tree, out=tmp_path / "trained").folder).read_text()
    assert "file: mine.csv" in page
    assert str(tmp_path) not in page


def test_it_has_no_pictures_of_its_own(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(trained), "--images", str(tmp_path / "images")]) == 2
    assert "--images" in capsys.readouterr().err


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium here")
def test_it_opens_in_a_browser_without_a_word_of_complaint(trained: Path) -> None:
    page = write_report(trained)
    assert isinstance(page, Path)
    with browser() as driver:
        for width in (1280, 390):
            look(driver, page, width)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert driver.get_log("browser") == []
