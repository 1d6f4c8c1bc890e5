from __future__ import annotations

from pathlib import Path

from trm.config import experiment_from
from trm.testing.tasks import check_task


def test_two_files_of_different_tokens_train_as_one_model(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "\n".join(["inputs,labels", *(f"{k:02d},{k:02d}" for k in range(60))])
    )
    rows = [f"x {k},y {k} z" for k in range(40)]
    (tmp_path / "b.csv").write_text("\n".join(["inputs,labels", *rows]))
    tasks = {name: {"name": "data", "file": str(tmp_path / f"{name}.csv")} for name in "ab"}
    check_task(experiment_from({"task": {"name": "mixture", "tasks": tasks}}).task)
