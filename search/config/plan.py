"""A sweep as resolved: its space, its compute budget in FLOPs and when its trials report.

Reading a run folder runs no code that it names, and needs no torch: what the schema says of the
default experiment is stored when the run is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curricula.component import foreign_names
from search.config.evaluated import Evaluated
from search.config.sections import SweepSections, sweep_sections
from search.ledger.files import (
    RUN_FILE,
    SPARE,
    SWEEP_FILE,
    DamagedFileError,
    fields_of,
    read_json,
    write_atomically,
    write_json,
    write_spare,
)
from search.ledger.parquet import footer_of, part
from search.ledger.seal import DamagedError, check_text, seal_text
from search.ledger.storage import Place
from search.objectives.constraint import Constraint
from search.objectives.objective import Objective
from search.samplers.tpe import TpeConfig
from search.schedulers.learned import LearnedConfig
from search.schedulers.pbt import PbtConfig
from search.schedulers.scheduler import EarlyStoppingConfig, Mode, Scheduler, starts_slowly
from search.space.space import Space, Tree
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml, parse_yaml
from trm.provenance import provenance
from trm.report import even_marks
from trm.validation import validate

if TYPE_CHECKING:
    from trm.config import Experiment

RUN_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """What a run folder's `sweep.yaml` and `run.json` say.

    Attributes:
        tree: the file with distributions, the budget in FLOPs.
        space: its space.
        sections: how to search, confirm and place trials.
        run_id: unique to the run; the Optuna study and the logs bear it as their name.
        given_marks: shares of the budget at which trials report, if they are on record.
        given_recipe: the recipe, if it is on record.
        read_default: the recipe as an experiment, if it has been read.
    """

    tree: Tree
    space: Space
    sections: SweepSections
    run_id: str
    given_marks: tuple[float, ...] | None = None
    given_recipe: Tree | None = None
    read_default: Experiment | None = field(default=None, compare=False, repr=False)

    @cached_property
    def default_tree(self) -> Tree:
        """The tree at the default of every parameter, as the file has it."""
        return self.space.default()[1]

    @cached_property
    def recipe(self) -> Tree:
        """The reference recipe: the experiment at the default of every parameter, written out.

        Runs of older versions have none on record; then reading it needs torch.
        """
        return self.given_recipe or self.default.tree()

    @cached_property
    def evaluated(self) -> Tree:
        """The sections of the recipe that say what an evaluation is, which need no torch."""
        if self.given_recipe is not None:
            return self.given_recipe
        known = {
            key: value for key, value in self.default_tree.items() if key in Evaluated.model_fields
        }
        with foreign_names():
            return validate(Evaluated, known).model_dump(mode="json")

    @cached_property
    def default(self) -> Experiment:
        """The recipe as an experiment, which needs torch.

        Raises:
            UserError: the file is damaged.
        """
        from trm.config import experiment_from

        with foreign_names():
            return self.read_default or experiment_from(self.default_tree)

    def experiment(self, tree: Mapping[str, Any]) -> Experiment:
        """The experiment of a tree of this space; only what differs from the default is read.

        Raises:
            UserError: one line naming key, value and remedy.
        """
        from trm.config import variant

        return variant(self.default, self.default_tree, tree)

    @property
    def name(self) -> str:
        """The experiment's."""
        return str(self.evaluated["name"])

    @property
    def seed(self) -> int:
        """The file's `train.seed`, to which the stages add their offsets."""
        return int(self.evaluated["train"]["seed"])

    @property
    def budget(self) -> float:
        """Training FLOPs of every trial, whatever depth it draws."""
        return float(self.evaluated["train"]["budget"]["flops"])

    @property
    def marks(self) -> tuple[float, ...]:
        """Shares of the budget at which trials report: evenly spread, and the scheduler's."""
        if self.given_marks is not None:
            return self.given_marks
        needed = self.sections.search.scheduler.marks(starts_slowly(self.space.parameters))
        return tuple(sorted({*even_marks(self.evaluated["train"]["reports"]), *needed}))

    @property
    def objectives(self) -> list[Objective]:
        """What configs are judged by."""
        return self.sections.search.objective

    @property
    def objective(self) -> Objective:
        """What a config wins by."""
        return self.sections.search.objective[0]

    @property
    def constraints(self) -> list[Constraint]:
        """What a config must keep to win."""
        return self.sections.search.constraints

    @property
    def needs_rows(self) -> bool:
        """Whether configs are judged by more than the first objective's last value."""
        return len(self.objectives) > 1 or bool(self.constraints)

    @property
    def examples(self) -> int | None:
        """How many examples one evaluation has, as far as the config says."""
        train, task = self.evaluated["train"], self.evaluated["task"]
        counts = (train["valid_examples"], task.get("valid_examples"))
        return min((count for count in counts if count is not None), default=None)

    def counted(self, evaluated: int | None, objective: Objective | None = None) -> int | None:
        """How many examples a score is a share of; None where it is none, or that is unknown.

        Args:
            evaluated: examples of an evaluation, if they are known.
            objective: whose score; the first if None.
        """
        probed = self.evaluated["diagnostics"]["examples"]
        thought = self.evaluated.get("thought", {}).get("examples")
        return (objective or self.objective).counted(evaluated, probed, thought)

    @property
    def seeds(self) -> int:
        """Runs of each config of the search."""
        return self.sections.search.seeds

    @property
    def breeds(self) -> bool:
        """Whether a population learns a curriculum, instead of trials that are stopped early."""
        return self.sections.search.breeds

    @property
    def population(self) -> PbtConfig:
        """The scheduler's config, of a sweep that breeds."""
        return self.sections.search.population

    @property
    def generations(self) -> int:
        """Generations of the population that learns a curriculum; 0 if there is none."""
        return self.population.generations if self.breeds else 0

    @property
    def wanted(self) -> int:
        """Trials that the search is to have, before any is confirmed."""
        return self.sections.search.wanted

    @property
    def stops_early(self) -> bool:
        """Whether the scheduler's decisions can be asked for: a foreign plug-in's cannot."""
        return isinstance(self.sections.search.scheduler, EarlyStoppingConfig)

    @property
    def learns_from_runs(self) -> bool:
        """Whether the search learns from every seed and every curve, which are then kept in memory
        as it runs.
        """
        search = self.sections.search
        return isinstance(search.scheduler, LearnedConfig) or search.sampler.sees_runs(
            self.space, len(search.objective), self.wanted
        )

    @property
    def sampler_reason(self) -> str:
        """Which sampler draws and why, where the file leaves the choice open; else empty."""
        search = self.sections.search
        why = search.sampler.reason(self.space, len(search.objective), self.wanted)
        return f"{search.sampler.name} chose {why}" if why and not self.breeds else ""

    @property
    def early_stopping(self) -> EarlyStoppingConfig:
        """The scheduler's config, of a sweep whose trials are stopped and not bred."""
        scheduler = self.sections.search.scheduler
        assert isinstance(scheduler, EarlyStoppingConfig), scheduler
        return scheduler

    def scheduler(self) -> Scheduler:
        """Fresh early-stopping decisions of this sweep."""
        mode: Mode = "max" if self.objective.maximizes else "min"
        return self.early_stopping.build(starts_slowly(self.space.parameters), mode)


def write_plan(folder: Place, plan: Plan) -> None:
    """Store a plan in a run folder; who made the run, and when, is stored only the first time."""
    head = {
        "schema_version": RUN_VERSION,
        "study": plan.run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(),
        "recipe": plan.recipe,
        "marks": plan.marks,
        "sampler": plan.sampler_reason or plan.sections.search.sampler.name,
        "ledger": footer_of(part(folder / "trials", 0)).ledger,
        "sealed": True,
    }
    text = seal_text(dump_yaml(plan.tree), plan.run_id)
    write_spare(folder / SWEEP_FILE, text)
    write_atomically(folder / SWEEP_FILE, text)
    # Its presence says that a run lives here, so it comes last.
    if not (folder / RUN_FILE).exists():
        write_json(folder / RUN_FILE, head)


def read_plan(folder: Place) -> Plan:
    """The plan of a run folder, to look at what ran. Nothing that the folder names is imported.

    Raises:
        UserError: the folder holds no run, a damaged one, or one of a newer version.
    """
    # A user's own folder may hold a file of that name; the other is written last, and ours.
    for name in (SWEEP_FILE, RUN_FILE):
        if not (folder / name).is_file():
            if any((folder / other).is_dir() for other in ("trials", SPARE)):
                raise DamagedFileError(folder / name, "is missing")
            if (folder / "config.yaml").is_file():
                raise UserError(
                    f"{folder}: holds one training and no sweep: `trm status`, `trm logs` and "
                    "`trm diagnose` show it"
                )
            raise UserError(f"{folder}: holds no sweep (no {name}): give the folder of `trm sweep`")
    path = folder / RUN_FILE
    head = read_json(path)
    with fields_of(path):
        version, run_id = int(head["schema_version"]), str(head["study"])
        recipe = head.get("recipe")
        marks = tuple(map(float, head["marks"])) if "marks" in head else None
        if recipe is not None:
            # What a plan needs of it.
            str(recipe["name"]), int(recipe["train"]["seed"]), int(recipe["train"]["reports"])
            float(recipe["train"]["budget"]["flops"])
    if version > RUN_VERSION:
        raise UserError(f"{path}: schema_version", version, "is newer than this program")
    path = folder / SWEEP_FILE
    tree = parse_yaml(_sound_text(path, run_id, sealed=bool(head.get("sealed"))), str(path))
    with foreign_names(), fields_of(path):
        space, sections = Space.parse(tree), sweep_sections(tree)
    if "sampler" not in head and "sampler" not in tree.get("search", {}):
        # What a file that names none meant when the run was begun.
        search = sections.search.model_copy(update={"sampler": TpeConfig()})
        sections = sections.model_copy(update={"search": search})
    return Plan(tree, space, sections, run_id, marks, recipe)


def _sound_text(path: Place, run_id: str, *, sealed: bool) -> str:
    """What `sweep.yaml` holds, if that is what was written in this run.

    Raises:
        DamagedFileError: it is not.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if not check_text(text, run_id) and sealed:
            raise DamagedError("cut off, or edited: its checksum is gone")
    except DamagedError as error:
        what = f"is damaged, {error}; an edited or another run's has another, too"
        raise DamagedFileError(path, what) from error
    except ValueError as error:
        raise DamagedFileError(path, "is damaged, no text") from error
    return text


def trainable_plan(folder: Place) -> Plan:
    """The plan of a run folder, to train more of it, for which its plug-ins are imported.

    They are looked for among installed packages and in the working directory, never in the folder.

    Raises:
        UserError: as `read_plan`, or a plug-in that is not found.
    """
    from trm.config import load_experiment

    plan = read_plan(folder)
    default = load_experiment(plan.default_tree)
    return replace(plan, sections=sweep_sections(plan.tree), read_default=default)


def simulated_plan(tree: Mapping[str, Any]) -> Plan:
    """The plan of a resolved tree that no run folder holds."""
    own = dict(tree)
    space = Space.parse(own)
    return Plan(own, space, sweep_sections(own), "simulated")
