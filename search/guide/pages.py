"""The pages of the guide by topic, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

WRITTEN = (
    "first-sweep",
    "your-own-task",
    "one-path",
    "your-task",
    "tasks",
    "spaces",
    "models",
    "curricula",
    "schedulers",
    "stability",
    "depth-and-breadth",
    "report",
    "export",
    "deployment",
    "clusters",
    "plugins",
    "python",
    "statistics",
    "architecture",
)
GENERATED = ("keys", "columns", "commands", "claims")
"""Pages that are made from the code when they are shown, so that they are never behind it."""
TOPICS = (*WRITTEN, *GENERATED)


class Heading(NamedTuple):
    """What a list of pages says of one: its title and its first sentence."""

    title: str
    line: str


def folder() -> Path:
    """Where the pages lie in the package."""
    return Path(str(resources.files("search") / "guide"))


def written(topic: str) -> str:
    """The text of a written page."""
    return (folder() / f"{topic}.md").read_text(encoding="utf-8")


def heading(text: str) -> Heading:
    """
    >>> heading("# Spaces\\n\\nAny value may be drawn. And so on.\\n")
    Heading(title='Spaces', line='Any value may be drawn')
    """
    title, _, rest = text.lstrip().removeprefix("# ").partition("\n")
    first = " ".join(rest.strip().partition("\n\n")[0].split())
    return Heading(title, first.partition(". ")[0].rstrip(".:"))


def write_site(pages: Mapping[str, str], target: Path) -> None:
    """Write pages, images and notebooks into a folder, for mkdocs; the first page is its index."""
    target.mkdir(parents=True, exist_ok=True)
    contents = "\n".join(
        f"- [{heading(text).title}]({topic}.md): {heading(text).line}."
        for topic, text in pages.items()
    )
    index = f"# TRM Search\n\nThe guide, page by page. `trm guide` shows it too.\n\n{contents}\n"
    for name, text in {"index": index, **pages}.items():
        (target / f"{name}.md").write_text(text, encoding="utf-8")
    (target / "img").mkdir(exist_ok=True)
    for image in sorted((folder() / "img").iterdir()):
        (target / "img" / image.name).write_bytes(image.read_bytes())
    for notebook in sorted(folder().glob("*.ipynb")):
        (target / notebook.name).write_bytes(notebook.read_bytes())
