"""The page itself: one HTML file without anything from elsewhere.

What a config or a name holds is escaped wherever it is written, and the page's own policy lets the
browser fetch nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from plotly.io import to_json
from plotly.offline import get_plotlyjs

from search.report.headline import Headline
from search.report.section import MOST_ROWS, Code, Panel, Picture, Section, Table
from search.report.theme import DARK

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""Content security policy: the page may run what it holds and load nothing."""


@dataclass(frozen=True)
class Around:
    """What a page has that is served, and one in a file has not.

    Attributes:
        policy: its content security policy.
        style: further CSS.
        more: markup at the end of its main part, escaped.
        script: JavaScript that runs before anything is drawn.
    """

    policy: str = POLICY
    style: str = ""
    more: str = ""
    script: str = ""


IN_A_FILE = Around()


def page(
    headline: Headline, sections: Sequence[Section], about: str, around: Around = IN_A_FILE
) -> str:
    """The HTML of a report.

    Args:
        about: the last line: of which run and when.
    """
    shown = list(sections)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(around.policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(headline.title)}: report</title>",
        f"<style>{_file('page.css')}{around.style}</style>",
        "</head>",
        "<body>",
        '<a class="skip" href="#top">to the report</a>',
        '<button id="shade" type="button" title="light, dark or as the system">shade</button>',
        '<div class="frame">',
        _contents(shown),
        '<main id="top">',
        _header(headline),
        *(_section(section) for section in shown),
        *([around.more] if around.more else []),
        f"<footer>{escape(about)}</footer>",
        "</main>",
        "</div>",
        _data("shades", json.dumps(DARK)),
        *(
            _data(f"figure-{panel.name}", figure_json(panel.figure))
            for section in shown
            for picture in section.pictures
            for panel in picture.panels
        ),
        *([f"<script>{around.script}</script>"] if around.script else []),
        f"<script>{_library()}</script>",
        f"<script>{_file('page.js')}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def figure_json(figure: Any) -> str:
    """A figure as JSON that may stand inside a script element."""
    text: str = to_json(figure, validate=False)
    return text


@cache
def _library() -> str:
    text: str = get_plotlyjs()
    return text.replace("</script", "<\\/script")


def _file(name: str) -> str:
    return (resources.files("search.report") / name).read_text(encoding="utf-8")


def _data(name: str, text: str) -> str:
    # A string in JSON may hold `</script>`; with the sign escaped it is the same string.
    inside = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{inside}</script>'


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(
        f'<li><a href="#{section.name}">{escape(section.title)}</a></li>' for section in sections
    )
    return f'<nav aria-label="contents"><ol>{links}</ol></nav>'


def _header(headline: Headline) -> str:
    figures = "".join(
        f'<div><dt>{escape(one.label)}</dt><dd class="value">{escape(one.value)}</dd>'
        f'<dd class="note">{escape(one.note)}</dd></div>'
        for one in headline.figures
    )
    caveats = "".join(f"<li>{escape(line)}</li>" for line in headline.caveats)
    params = "".join(
        f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in headline.params.items()
    )
    missing = "".join(f'<p class="missing">{escape(line)}</p>' for line in headline.missing)
    return (
        f'<header><p class="eyebrow">TRM Search report</p><h1>{escape(headline.title)}</h1>'
        f'<p class="verdict">{escape(headline.verdict)}</p>'
        + (f'<ul class="caveats">{caveats}</ul>' if caveats else "")
        + missing
        + f'<dl class="figures">{figures}</dl>'
        + (f'<ul class="params" aria-label="its settings">{params}</ul>' if params else "")
        + "</header>"
    )


def _section(section: Section) -> str:
    intro = f'<p class="intro">{escape(section.intro)}</p>' if section.intro else ""
    return (
        f'<section id="{section.name}" aria-labelledby="{section.name}-title">'
        f'<h2 id="{section.name}-title">{escape(section.title)}</h2>{intro}'
        + "".join(map(_picture, section.pictures))
        + "".join(_code(section.name, index, code) for index, code in enumerate(section.code))
        + "</section>"
    )


def _picture(picture: Picture) -> str:
    several = len(picture.panels) > 1
    kind = ("wide" if picture.wide else "") if several else "single"
    panels = "".join(_panel(panel, picture, several) for panel in picture.panels)
    return (
        f"<figure><figcaption><h3>{escape(picture.title)}</h3>"
        f'<p class="says">{escape(picture.says)}</p></figcaption>'
        + (f'<div class="panels {kind}">{panels}</div>' if panels else "")
        + (_table(picture.table, picture.title) if picture.table else "")
        + "</figure>"
    )


def _panel(panel: Panel, picture: Picture, several: bool) -> str:
    heading = f"<h4>{escape(panel.title)}</h4>" if panel.title else ""
    label = (
        f"{picture.title}: {panel.label or panel.title}"
        if several
        else f"{picture.title}. {picture.says}"
    )
    height = panel.figure.layout.height
    return (
        f'<div class="panel">{heading}<div class="plot" id="{panel.name}" role="img" '
        f'aria-label="{escape(label)}" style="height:{height}px"></div></div>'
    )


def _table(table: Table, caption: str) -> str:
    if not table.rows:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = []
    for first, *rest in table.rows[:MOST_ROWS]:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    left = len(table.rows) - MOST_ROWS
    more = (
        f'<p class="more">The first {MOST_ROWS} of {len(table.rows):,} rows; all of them are in '
        "the run folder, in trials/ and curves/.</p>"
        if left > 0
        else ""
    )
    return (
        '<details><summary>the numbers</summary><div class="scroll" tabindex="0"><table>'
        f'<caption class="hidden">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{more}</details>"
    )


def _code(section: str, index: int, code: Code) -> str:
    name = f"{section}-code-{index}"
    return (
        f'<div class="code"><div class="bar"><h3>{escape(code.title)}</h3>'
        f'<button type="button" data-copies="{name}">copy</button></div>'
        f'<pre id="{name}" tabindex="0">{escape(code.text)}</pre></div>'
    )
