"""A live log: a CSV file for each trial, written anew whenever the trial is begun again."""

from pathlib import Path
from typing import Literal

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
        self.folder, self.columns, self.paths = folder, columns, dict[str, Path]()

    def begin(self, run: LoggedRun) -> None:
        self.paths[run.key] = self.folder / f"{run.name}.csv"
        self.paths[run.key].write_text(",".join(self.columns) + "\n")

    def add(self, key: str, row: ReportRow) -> None:
        with self.paths[key].open("a") as file:
            print(*(row.get(name) for name in self.columns), sep=",", file=file)

    def end(self, key: str, ending: RunEnd | None) -> None: ...
    def close(self) -> None: ...


LOG_SINKS["csv"] = CsvConfig
