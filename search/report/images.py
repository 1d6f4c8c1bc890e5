"""The figures of a report as files for papers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from search.report.section import Panel, Section
from trm.errors import UserError

Format = Literal["svg", "png", "pdf"]
FORMATS: tuple[Format, ...] = ("svg", "png", "pdf")
WIDTH = 800
_PIXELS = 2
"""Pixels of a bitmap for each of the page's."""
_TITLE = 48
"""Pixels above a figure with a title."""


def write_images(folder: Path, sections: Sequence[Section], format: Format) -> list[Path]:
    """Write every figure of a report, in the light colours, as `NAME.FORMAT`.

    Raises:
        UserError: kaleido or a Chrome for it is missing, or the folder cannot be written.
    """
    if find_spec("kaleido") is None:
        raise UserError("--images", remedy="needs kaleido: pip install 'trm-search[images]'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("--images", str(folder), f"cannot be made: {error.strerror}") from error
    panels = [
        panel for section in sections for picture in section.pictures for panel in picture.panels
    ]
    paths = [folder / f"{panel.name}.{format}" for panel in panels]
    try:
        _write([_alone(panel) for panel in panels], paths, format)
    except Exception as error:  # kaleido's and its browser's own, of many kinds
        raise _refusal(error) from error
    return paths


def _alone(panel: Panel) -> Any:
    """The figure with what the page says above it."""
    figure = deepcopy(panel.figure)
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white")
    if panel.title:
        # A legend stands between the title and the plot.
        top = _TITLE if figure.layout.showlegend is False else 2 * _TITLE
        title = {"text": panel.title, "x": 0.02, "y": 0.97, "yanchor": "top"}
        figure.update_layout(title=title, margin={"t": top})
    return figure


def _write(figures: list[Any], paths: list[Path], format: Format) -> None:
    from plotly.io import write_images as write

    write(figures, paths, format=format, width=WIDTH, scale=_PIXELS if format == "png" else 1)


def _refusal(error: Exception) -> UserError:
    line = " ".join(str(error).split())[:160]
    if "chrome" in f"{type(error).__name__} {line}".lower():
        return UserError(
            "--images",
            remedy="needs a Chrome or Chromium: install one (as in `apt-get install chromium`), or "
            "run `plotly_get_chrome`; BROWSER_PATH names one that is elsewhere",
        )
    return UserError("--images", remedy=f"failed in kaleido ({type(error).__name__}: {line})")
