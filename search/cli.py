"""The command line `trm`.

A command's module is imported only when that command is used, and imports what its work needs only
when it runs: help is at hand at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from trm.errors import RenamedWarning, UserError

GROUPS = {
    "start": {
        "keys": "show the keys of a config file: what each takes, its default and meaning",
    },
    "one model": {
        "train": "train one model from a config or preset",
        "eval": "evaluate a checkpoint",
        "solve": "solve one puzzle and show the answer forming",
        "tasks": "list, preview and write the data of tasks",
        "curriculum": "draw what a curriculum drives over a run, and the compute that it saves",
        "export": "write a run's best config",
    },
    "search": {
        "sweep": "search a config's space on this machine or a Ray cluster",
        "stability": "confirm the best candidates of a run over more seeds",
        "sensitivity": "vary the winner's settings around their values, over seeds",
        "ablate": "run a named set of ablations over seeds and table them against the base",
        "simulate": "compare samplers and schedulers on recorded curves, in virtual time",
    },
    "understand": {
        "status": "show a run folder's trials, finished or in progress",
        "report": "write a run as one HTML page, or show it in Optuna's dashboard",
        "importance": "show which settings a run's scores, failures and spread depend on",
        "fidelity": "show whether early stopping ranks configs as the end does",
        "diagnose": "say why trainings failed, or are about to",
        "compare": "show what differed between runs, which won, and how sure that is",
    },
}
"""Commands by the job that they are for."""
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}
RENAMED = {"study": ("ablate",), "dashboard": ("report", "--dashboard")}
"""What stands for the commands that there were, which are still accepted."""
OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """argparse, but errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")

    def parse_all(self, arguments: list[str]) -> argparse.Namespace:
        """Parse, and name the nearest option where one is unknown."""
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            from curricula.component import nearest

            known = [text for action in self._actions for text in action.option_strings]
            word = unknown[0].partition("=")[0]
            remedy = nearest(word, known) if word.startswith("-") else f"see `{self.prog} --help`"
            what = "option" if word.startswith("-") else "argument that it takes"
            raise UserError(self.prog, word, f"is no {what}: {remedy}")
        return parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = _format
    try:
        return _run(arguments)
    except UserError as error:
        print(f"trm: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return BAD_INPUT
    except SystemExit as leave:  # argparse after --help
        return int(leave.code or OK)
    except KeyboardInterrupt:
        print("trm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) went away: that is not an error, and Python must not say so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


_as_python_does = warnings.formatwarning


def _format(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as Python has it; that a name is old as one line."""
    if issubclass(category, RenamedWarning):
        return f"trm: {message}\n"
    return _as_python_does(message, category, filename, lineno, line)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        return _overview(arguments)
    command, *words = [*RENAMED.get(arguments[0], (arguments[0],)), *arguments[1:]]
    if arguments[0] in RENAMED:
        new = " ".join(RENAMED[arguments[0]])
        warnings.warn(f"`trm {arguments[0]}` is called `trm {new}` now", RenamedWarning, 1)
    if command not in COMMANDS:
        from curricula.component import nearest

        raise UserError("trm", command, f"is no command: {nearest(command, list(COMMANDS))}")
    module = importlib.import_module(f"search.commands.{command}")
    parser = _Parser(
        prog=f"trm {command}",
        description=(module.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    return int(module.run(parser.parse_all(words)))


def _overview(arguments: list[str]) -> int:
    if "--version" in arguments:
        from importlib.metadata import version

        print(f"trm-search {version('trm-search')}")
        return OK
    unknown = [word for word in arguments if word not in ("-h", "--help")]
    if unknown:
        raise UserError(
            "trm", unknown[0], "does not stand here: `trm COMMAND ...`, or `trm --help`"
        )
    width = max(map(len, COMMANDS))
    print("usage: trm COMMAND ...\n")
    print("Find the Tiny Recursive Model that trains reliably, not luckily.\n")
    for job, commands in GROUPS.items():
        print(f"{job}:")
        for name, line in commands.items():
            print(f"  {name:<{width}}  {line}")
        print()
    print("`trm COMMAND --help` says more. Exit codes: 0 done, 1 failed at run time, 2 bad input,")
    print("130 interrupted (with the command that resumes).")
    return OK


if __name__ == "__main__":
    sys.exit(main())
