"""The reference pages of the guide, made from the models, the reports and the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from search.config.keys import Key, all_keys
from search.stability.claims import CLAIMS
from trm.report import COLUMNS

_BETTER = {"more": "more is better", "less": "less is better", None: ""}


def keys_page() -> str:
    """Every key of a config file, a section a table."""
    parts = [
        "# Every key of a config\n\nWhat each key takes, its default and what it means. `[name]` "
        "is the form of a section that has several, `[]` an entry of a list. `trm keys SECTION` "
        "shows a part of this, `trm keys --json-schema` writes a schema for editors. Any value "
        "outside `search`, `stability`, `cluster`, `log` and `ablations` may be drawn instead."
    ]
    sections: dict[str, list[Key]] = {}
    for key in all_keys():
        sections.setdefault(key.path.split(".")[0].split("[")[0], []).append(key)
    for section, keys in sections.items():
        rows = [
            f"| `{key.path}` | {_cell(key.type)} | {_code(key.default)} | {_cell(key.meaning)} |"
            for key in keys
        ]
        table = "\n".join(["| key | takes | default | meaning |", "|---|---|---|---|", *rows])
        parts.append(f"## {section}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def columns_page() -> str:
    """Every column of the reports."""
    rows = [
        f"| `{name}` | {column.kind} | {_bounds(column.low, column.high)} "
        f"| {_BETTER[column.better]} | {_cell(column.meaning)}"
        f"{' (null in a report without a probe)' if column.probed else ''} |"
        for name, column in COLUMNS.items()
    ]
    head = (
        "# Every column of the reports\n\nA training reports at each mark of its budget, one row a "
        "mark: `curves/` of a sweep's folder, `reports.jsonl` of a training's. An objective, a "
        "constraint or a scheduler's `metric` may be any column of numbers; one without a better "
        "end needs a `direction`."
    )
    table = "\n".join(["| column | type | values | better | meaning |", "|---|---|---|---|---|"])
    return f"{head}\n\n{table}\n" + "\n".join(rows) + "\n"


def claims_page() -> str:
    """Every sentence about significance, and the rule that makes it true."""
    rows = [
        f"| {_cell(one.text)} | {_cell(one.rule)} | {_cell(one.wrong)} |" for one in CLAIMS.values()
    ]
    head = (
        "# Every claim\n\nThe sentences about significance that the report page, the model card "
        "and the terminal print, and no others. Each stands where its rule is met. *Your defaults* "
        "are the file's default values, over the winner's promise seeds. `tests/search/stability` "
        "holds the rules of *ahead* against 1,000 made-up sweeps whose truth is known."
    )
    table = "\n".join(["| sentence | stands where | wrong |", "|---|---|---|"])
    return f"{head}\n\n{table}\n" + "\n".join(rows) + "\n"


def commands_page(parsers: Mapping[str, Mapping[str, Sequence[argparse.ArgumentParser]]]) -> str:
    """Every command with its help.

    Args:
        parsers: by group, each command's parser, and those of its forms.
    """
    parts = [
        "# Every command\n\nWhat `trm COMMAND --help` says. Exit codes: 0 done, 1 failed at run "
        "time, 2 bad input (one line that names key, value and remedy), 130 interrupted (with the "
        "command that resumes)."
    ]
    for group, commands in parsers.items():
        parts.append(f"## {group.capitalize()}")
        for name, forms in commands.items():
            parts.append(f"### trm {name}")
            parts += [f"```text\n{parser.format_help().rstrip()}\n```" for parser in forms]
    return "\n\n".join(parts) + "\n"


def _bounds(low: float, high: float) -> str:
    if high < float("inf"):
        return f"{low:g} to {high:g}"
    return f"from {low:g}" if low > -float("inf") else ""


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
