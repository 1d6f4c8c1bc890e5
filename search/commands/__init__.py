"""The commands of `trm`: a folder for each group of the help, a module for each command.

A module has `add_arguments(parser)` and `run(args) -> exit code`.
"""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType
from typing import NoReturn

from search.commands.see_also import see_also
from trm.errors import UserError

GROUPS = {
    "start": {
        "init": "write a first config, for data of your own or from a preset",
        "import": "take in the reference's weights, or a search of Optuna, W&B or Ray Tune",
        "guide": "read the guide: first sweep, spaces, curricula, stability and more",
        "doctor": "say whether this machine or cluster is fit for sweeps, and what to do if not",
        "keys": "show the keys of a config file: what each takes, its default and meaning",
    },
    "one model": {
        "train": "train one model from a config or preset",
        "eval": "evaluate a run's winner, or a checkpoint",
        "solve": "solve one puzzle and show the answer forming",
        "tasks": "list, preview and write the data of tasks",
        "curriculum": "draw what a curriculum drives over a run, and the compute that it saves",
        "bench": "time a trained model: latency, throughput, memory, energy, int8",
        "export": "write a run's best config, or trained weights for other programs",
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
        "compare": "say which of several runs is ahead, how sure that is, and what differed",
    },
    "cluster": {
        "cluster": "start a sweep by Slurm, Kubernetes, a cloud, or on a cluster that is up",
        "logs": "show what happened in a run, or all that is known of one of its trials",
        "stop": "ask the driver at work in a run folder for a clean end, from any machine",
    },
}
"""Commands by the job that they are for."""
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    [group] = (group for group, commands in GROUPS.items() if command in commands)
    return importlib.import_module(f"search.commands.{group.replace(' ', '_')}.{command}")


class Parser(argparse.ArgumentParser):
    """argparse, but errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")

    def parse_all(self, arguments: list[str]) -> argparse.Namespace:
        """Parse, and name the nearest option where one is unknown; `words` are the arguments."""
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            from curricula.component import nearest

            known = [text for action in self._options(parsed) for text in action.option_strings]
            word = unknown[0].partition("=")[0]
            remedy = nearest(word, known) if word.startswith("-") else f"see `{self.prog} --help`"
            what = "option" if word.startswith("-") else "argument that it takes"
            raise UserError(self.prog, word, f"is no {what}: {remedy}")
        parsed.words = arguments
        return parsed

    def _options(self, parsed: argparse.Namespace) -> list[argparse.Action]:
        """The options that may stand there; where there are forms, those of the chosen one."""
        forms = [one for one in self._actions if isinstance(one, argparse._SubParsersAction)]
        if not forms:
            return self._actions
        return [act for one in forms for act in one.choices[getattr(parsed, one.dest)]._actions]


def forms_of(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of a command's forms, as of `trm cluster slurm`."""
    actions = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return [form for one in actions for form in one.choices.values()]


def parser_of(command: str) -> Parser:
    """The parser of a command's arguments."""
    module = module_of(command)
    parser = Parser(
        prog=f"trm {command}",
        description=(module.__doc__ or "").strip(),
        epilog=see_also(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    return parser
