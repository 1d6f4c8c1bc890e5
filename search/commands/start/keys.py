"""Show the keys of a config file: what each takes, its default and what it means.

SECTION is any part of a path. `[name]` is the form of a section that has several, `[]` an entry of
a list. Any value outside search, stability, cluster and log may be a distribution instead.

  trm keys                                      # every key
  trm keys train
  trm keys 'search.scheduler[asha]'
  trm keys --json-schema > trm.schema.json      # for editors
"""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from trm.errors import UserError

if TYPE_CHECKING:
    from search.config.keys import Key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm keys`."""
    parser.add_argument("section", nargs="?", metavar="SECTION", help="a path, as in search.limits")
    parser.add_argument(
        "--plugins", action="append", default=[], metavar="MODULE",
        help="show the keys of this plug-in's components too; may be repeated",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--json-schema", action="store_true", help="print the JSON Schema of a whole file"
    )


def run(args: argparse.Namespace) -> int:
    """Print the keys; returns the exit code."""
    from search.config.json_schema import json_schema
    from search.config.keys import all_keys
    from trm.plugins import import_plugins

    if args.json_schema and args.section is not None:
        raise UserError("trm keys", args.section, "goes without --json-schema, of a whole file")
    import_plugins(args.plugins)
    if args.json_schema:
        print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
        return 0
    keys = _below(all_keys(), args.section)
    if args.json:
        print(json.dumps([asdict(key) for key in keys], ensure_ascii=False))
        return 0
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    print("\n\n".join(_text(key, width) for key in keys))
    return 0


def _below(keys: list[Key], section: str | None) -> list[Key]:
    """
    Raises:
        UserError: nothing stands there.
    """
    if section is None:
        return keys
    below = (f"{section}.", f"{section}[")
    found = [key for key in keys if key.path == section or key.path.startswith(below)]
    if not found:
        raise UserError("trm keys", section, f"is no key: {_hint(section, keys)}")
    return found


def _hint(section: str, keys: list[Key]) -> str:
    from curricula.component import nearest

    paths = [key.path for key in keys]
    same_end = [path for path in paths if path.endswith(f".{section.rpartition('.')[2]}")]
    if same_end:
        return f"did you mean {', '.join(same_end[:3])}?"
    close = nearest(section, paths)
    top = [path for path in paths if not set(path) & set(".[")]
    return close if close.startswith("did") else f"sections: {', '.join(top)}"


def _text(key: Key, width: int) -> str:
    default = {"required": "required", "": "", "{}": ""}.get(key.default, f"default {key.default}")
    facts = "; ".join(filter(None, (key.type, default)))
    return "\n".join([key.path, *_wrapped(facts, width), *_wrapped(key.meaning, width)])


def _wrapped(text: str, width: int) -> list[str]:
    indent = " " * 4
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
