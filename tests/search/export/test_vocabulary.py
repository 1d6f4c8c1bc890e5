"""A trial's record keeps the vocabulary of its data, and its exported config fixes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from search.config.plan import read_plan
from search.engine.job import Job, build_trainer
from search.export.export import exported_config
from search.ledger.reader import read_trials
from tests.support.folders import RUNS_V1
from trm.report import Report


def test_the_vocabulary_goes_from_the_worker_into_the_exported_config(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["inputs,labels", *(f"{k:02d},{k:02d}" for k in range(60))]))
    plan = read_plan(RUNS_V1 / "finished")
    trial = next(iter(read_trials(RUNS_V1 / "finished").values()))
    config = {**trial.config, "task": {"name": "data", "file": str(path)}}
    job = Job(
        folder=str(tmp_path), trial=0, attempt=1, config=config, seed=1, budget=1e5, marks=(1.0,),
        cache=str(tmp_path / "cache"),
    )  # fmt: skip
    training = build_trainer(job)
    [report] = training.run()
    assert isinstance(report, Report)
    origin = training.provenance()
    assert origin["vocabulary"] == list("0123456789")
    task = exported_config(plan, replace(trial, config=config, provenance=origin), None).task
    assert task.vocabulary == list("0123456789")  # type: ignore[attr-defined]
    assert task.build().data_hash == origin["data_hash"]
