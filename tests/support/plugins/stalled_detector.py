"""A failure detector: the training loss has hardly fallen since the middle of the run."""

from collections.abc import Sequence

from pydantic import Field

from curricula.component import Component
from trm.detectors import DETECTORS
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import number, when
from trm.report import ReportRow


class StalledConfig(Component):
    """Settings of `stalled`.

    Attributes:
        fall: share of the loss that must go in the second half (null: off).
    """

    fall: float | None = Field(default=0.02, gt=0.0, le=1.0)


def stalled(rows: Sequence[ReportRow], config: StalledConfig) -> Finding | None:
    late = [row for row in rows if when(row) >= 0.5 and number(row, "train_loss") is not None]
    if config.fall is None or len(late) < 2:
        return None
    first, last = number(late[0], "train_loss"), number(late[-1], "train_loss")
    if not first or last is None or 1.0 - last / first >= config.fall:
        return None
    words = f"the loss went from {first:.3f} to {last:.3f} only: raise optimizer.lr"
    fallen = 1.0 - last / first
    return Finding("stalled", "warning", when(late[-1]), fallen, config.fall, "share", words)


DETECTORS["stalled"] = Detector(
    stalled, StalledConfig, "the training loss stands still in the second half", "share"
)
