"""Read the guide: its pages, or one of them.

The pages on keys, columns, commands and claims are made from the code when they are shown.

  trm guide                                     # what there is
  trm guide first-sweep
  trm guide keys | less
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap

from search.commands.options import a_path
from trm.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm guide`."""
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="a page (default: list them)")
    parser.add_argument(
        "--write", type=a_path, metavar="DIR", help="write every page into a folder, for a web site"
    )


def run(args: argparse.Namespace) -> int:
    """List the pages, show one or write them all; returns the exit code."""
    from search.guide.pages import TOPICS, heading, write_site

    if args.write is not None:
        write_site({topic: page(topic) for topic in TOPICS}, args.write)
        print(f"{len(TOPICS)} pages in {args.write}")
    elif args.topic is not None:
        _show(page(args.topic))
    else:
        width = max(map(len, TOPICS))
        for topic in TOPICS:
            line = textwrap.shorten(heading(page(topic)).line, 96 - width, placeholder=" ...")
            print(f"  {topic:<{width}}  {line}")
        print("\n`trm guide TOPIC` shows one.")
    return 0


def page(topic: str) -> str:
    """The text of a page.

    Raises:
        UserError: there is none of that name.
    """
    from search.guide.pages import TOPICS, WRITTEN, written

    if topic not in TOPICS:
        from curricula.component import nearest

        raise UserError("trm guide", topic, f"is no page: {nearest(topic, list(TOPICS))}")
    if topic in WRITTEN:
        return written(topic)
    from search.guide.reference import claims_page, columns_page, commands_page, keys_page

    if topic == "commands":
        from search.commands import GROUPS, forms_of, parser_of

        parsers = {
            group: {name: parser_of(name) for name in names} for group, names in GROUPS.items()
        }
        return commands_page(
            {
                group: {name: [parser, *forms_of(parser)] for name, parser in commands.items()}
                for group, commands in parsers.items()
            }
        )
    made = {"keys": keys_page, "columns": columns_page, "claims": claims_page}
    return made[topic]()


def _show(text: str) -> None:
    text = re.sub("<!--.*?-->\n*", "", text, flags=re.DOTALL)
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    Console(width=width).print(Markdown(text))
