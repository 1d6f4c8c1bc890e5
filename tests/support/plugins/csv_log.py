"""A live log: a CSV file for each trial, written anew whenever the trial is begun again."""

import csv
from pathlib import Path
from typing import IO, Literal

from pydantic import Field

from search.config.sinks import LOG_SINKS, LoggedRun, LogSinkConfig, RunEnd, Sink
from trm.report import ReportRow


class CsvConfig(LogSinkConfig):
    """A file for each trial.

    Attributes:
        columns: of the reports, those that are written.
    """

    name: Literal["csv"] = "csv"
    columns: list[str] = Field(default=["step", "exact_accuracy"])

    def build(self, folder: Path, run: str) -> Sink:
        return CsvLog(folder, self.columns)


class CsvLog:
    name = "CSV"

    def __init__(self, folder: Path, columns: list[str]) -> None:
        self.folder, self.columns = folder, columns
        self._files: dict[str, IO[str]] = {}

    def begin(self, run: LoggedRun) -> None:
        file = self._files[run.key] = (self.folder / f"{run.name}.csv").open("w", newline="")
        csv.writer(file).writerow(self.columns)

    def add(self, key: str, row: ReportRow) -> None:
        csv.writer(self._files[key]).writerow([row.get(name) for name in self.columns])

    def end(self, key: str, ending: RunEnd | None) -> None:
        self._files.pop(key).close()

    def close(self) -> None:
        for key in list(self._files):
            self.end(key, None)


LOG_SINKS["csv"] = CsvConfig
