"""The page itself: one HTML file without anything from elsewhere.

What a config or a name holds is escaped wherever it is written, and the page's own policy lets the
browser fetch nothing.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from plotly.io import to_json

from search.report.headline import Headline
from search.report.questions import Missing, Question
from search.report.section import MOST_ROWS, Code, Panel, Picture, Section, Table
from search.report.theme import DARK
from search.report.trials import trial_curve
from search.stability.verdict import RunVerdict

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
    headline: Headline,
    sections: Sequence[Section],
    about: str,
    around: Around = IN_A_FILE,
    trials: Mapping[str, Any] | None = None,
) -> str:
    """The HTML of a report.

    Args:
        about: the last line: of which run and when.
        trials: what `search.report.trials` tells of each; None where the page has none.
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
        _contents(headline.questions, shown),
        '<main id="top">',
        _header(headline),
        *_body(headline.questions, shown),
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
        *_trials(trials),
        *([f"<script>{around.script}</script>"] if around.script else []),
        f"<script>{_library()}</script>",
        f"<script>{_file('trials.js')}</script>",
        f"<script>{_file('sift.js')}</script>",
        f"<script>{_file('page.js')}</script>",
        f"<script>{_file('reader.js')}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def figure_json(figure: Any) -> str:
    """A figure as JSON, in as many digits as a screen shows."""
    return json.dumps(_compact(json.loads(to_json(figure, validate=False))), separators=(",", ":"))


def _trials(trials: Mapping[str, Any] | None) -> list[str]:
    # Under figures' names, so that a page that is served gets them anew as it gets figures.
    if trials is None:
        return []
    return [
        _data("figure-trials", json.dumps(trials, separators=(",", ":"))),
        _data("figure-trial-curve", figure_json(trial_curve())),
    ]


DIGITS = 5


def _compact(node: Any) -> Any:
    """Plain values with few digits, and arrays of doubles as such of singles."""
    if isinstance(node, float):
        short = float(f"{node:.{DIGITS}g}")
        return int(short) if short.is_integer() and abs(short) < 10**DIGITS else short
    if isinstance(node, list):
        return [_compact(child) for child in node]
    if not isinstance(node, dict):
        return node
    if node.get("dtype") == "f8" and "bdata" in node:
        single = np.frombuffer(b64decode(node["bdata"])).astype("<f4")
        return {**node, "dtype": "f4", "bdata": b64encode(single.tobytes()).decode()}
    return {key: _compact(child) for key, child in node.items()}


@cache
def _library() -> str:
    """plotly.js with the traces of two axes alone, a third of the whole: see its licence within."""
    return _file("plotly-cartesian.min.js").replace("</script", "<\\/script")


def _file(name: str) -> str:
    return (resources.files("search.report") / name).read_text(encoding="utf-8")


def _data(name: str, text: str) -> str:
    # A string in JSON may hold `</script>`; with the sign escaped it is the same string.
    inside = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{inside}</script>'


def _contents(questions: Sequence[Question], sections: Sequence[Section]) -> str:
    if not questions:
        links = "".join(map(_link, sections))
    else:
        links = "".join(
            f'<li><a href="#q-{one.name}">{escape(one.title)}</a>'
            f"<ol>{''.join(map(_link, _of(one, sections)))}</ol></li>"
            for one in questions
            if _answers(one, sections)
        )
    return (
        '<nav aria-label="contents"><button class="fold" type="button" aria-expanded="false">'
        f"contents</button><ol>{links}</ol></nav>"
    )


def _link(section: Section) -> str:
    return f'<li><a href="#{section.name}">{escape(section.title)}</a></li>'


def _of(question: Question, sections: Sequence[Section]) -> list[Section]:
    return [one for name in question.sections for one in sections if one.name == name]


def _answers(question: Question, sections: Sequence[Section]) -> bool:
    return bool(question.missing or _of(question, sections))


def _body(questions: Sequence[Question], sections: Sequence[Section]) -> list[str]:
    """Sections under the questions that they answer; without questions one after another."""
    if not questions:
        return [_section(section, 2) for section in sections]
    return [
        f'<section class="question" id="q-{one.name}" aria-labelledby="q-{one.name}-title">'
        f'<h2 id="q-{one.name}-title">{escape(one.title)}</h2>'
        + "".join(_section(section, 3) for section in _of(one, sections))
        + "".join(map(_missing, one.missing))
        + "</section>"
        for one in questions
        if _answers(one, sections)
    ]


def _missing(missing: Missing) -> str:
    return f'<p class="not-there">{escape(missing.words)} {_command(missing.command)}</p>'


def _command(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _header(headline: Headline) -> str:
    figures = "".join(
        f'<div><dt>{escape(one.label)}</dt><dd class="value">{escape(one.value)}</dd>'
        f'<dd class="note">{escape(one.note)}</dd></div>'
        for one in headline.figures
    )
    params = "".join(
        f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in headline.params.items()
    )
    missing = "".join(f'<p class="missing">{escape(line)}</p>' for line in headline.missing)
    return (
        f'<header><p class="eyebrow">TRM Search report</p><h1>{escape(headline.title)}</h1>'
        + (_box(headline.box) if headline.box else "")
        + f'<p class="verdict">{escape(headline.verdict)}</p>'
        + missing
        + (f'<ul class="params" aria-label="its settings">{params}</ul>' if params else "")
        + "".join(_code("top", index, code) for index, code in enumerate(headline.code))
        + f'<dl class="figures">{figures}</dl></header>'
    )


def _box(box: RunVerdict) -> str:
    """The verdict: what to do with the run, why, what it costs, and what comes next."""
    level = box.level.replace(" ", "-")
    reasons = "".join(
        f'<li class="{one.weight}"><span class="hidden">{_SPOKEN[one.weight]}: </span>'
        f"{escape(one.words[0].upper() + one.words[1:])}.</li>"
        for one in box.reasons
    )
    steps = "".join(
        f"<li>{_command(step.command)} <span>{escape(step.why)}</span></li>" for step in box.steps
    )
    cost = f'<p class="cost"><b>Cost</b> {escape(box.cost)}.</p>' if box.cost else ""
    return (
        f'<div class="box {level}" id="verdict" role="region" aria-labelledby="verdict-title">'
        f'<h2 id="verdict-title">{escape(box.title)}</h2><ul class="reasons">{reasons}</ul>{cost}'
        f'<div class="next"><b>Next</b><ul>{steps}</ul></div></div>'
    )


_SPOKEN = {"for": "for it", "care": "with care", "against": "against it", "so": "to know"}


def _section(section: Section, level: int) -> str:
    intro = f'<p class="intro">{escape(section.intro)}</p>' if section.intro else ""
    return (
        f'<section id="{section.name}" aria-labelledby="{section.name}-title">'
        f'<h{level} id="{section.name}-title">{escape(section.title)}</h{level}>{intro}'
        + "".join(_picture(picture, level + 1) for picture in section.pictures)
        + "".join(
            _code(section.name, index, code, level) for index, code in enumerate(section.code)
        )
        + "</section>"
    )


def _picture(picture: Picture, level: int) -> str:
    several = len(picture.panels) > 1
    kind = ("wide" if picture.wide else "") if several else "single"
    panels = "".join(_panel(panel, picture, several, level + 1) for panel in picture.panels)
    return (
        f'<figure><figcaption><h{level} class="of-figure">{escape(picture.title)}</h{level}>'
        f'<p class="says">{escape(picture.says)}</p></figcaption>'
        + _key(picture)
        + (f'<div class="panels {kind}">{panels}</div>' if panels else "")
        + (_table(picture.table, picture.title) if picture.table else "")
        + "</figure>"
    )


_MARKS = {"winner": "★", "completed": "●", "pruned": "○", "failed": "×"}


def _key(picture: Picture) -> str:
    lines = "".join(
        f'<li><b class="{one.mark}" aria-hidden="true">{_MARKS[one.mark]}</b> '
        f"{escape(one.words)}</li>"
        for one in picture.key
    )
    return f'<ul class="key" aria-label="legend">{lines}</ul>' if lines else ""


def _panel(panel: Panel, picture: Picture, several: bool, level: int) -> str:
    heading = f'<h{level} class="of-panel">{escape(panel.title)}</h{level}>' if panel.title else ""
    label = (
        f"{picture.title}: {panel.label or panel.title}"
        if several
        else f"{picture.title}. {picture.says}"
    )
    height = panel.figure.layout.height
    return (
        f'<div class="panel">{heading}<div class="plot" id="plot-{panel.name}" '
        f'data-figure="{panel.name}" role="img" aria-label="{escape(label)}" '
        f'style="height:{height}px"></div></div>'
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


def _code(section: str, index: int, code: Code, level: int = 2) -> str:
    name, title = f"{section}-code-{index}", escape(code.title)
    return (
        f'<div class="code"><div class="bar"><h{level} class="of-code">{title}</h{level}>'
        f'<button type="button" data-copies="{name}">copy</button></div>'
        f'<pre id="{name}" tabindex="0">{escape(code.text)}</pre></div>'
    )
