"""What `trm keys` prints is what the models have: no key is missing, none undocumented."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from curricula.curriculum import Curriculum
from curricula.published import CURRICULA
from search.config.keys import Key, all_keys
from search.config.sections import sweep_sections
from search.samplers import SAMPLERS
from search.schedulers import SCHEDULERS
from trm.config import experiment_from
from trm.diagnostics import diagnostics_class
from trm.learning.optimizers import OPTIMIZERS
from trm.tasks import TASKS

KEYS = {key.path: key for key in all_keys()}


def missing(value: BaseModel, path: str = "") -> Iterator[str]:
    """Fields of a section, and of those within, that are not among the keys that are shown."""
    form = f"[{value.name}]" if path and hasattr(value, "name") else ""
    for field in type(value).model_fields:
        if form and field == "name":
            continue
        at = f".{field}" if path else field
        shown = [place for place in (path + form + at, path + at) if place in KEYS]
        if not shown:
            yield path + form + at
        child = getattr(value, field)
        if shown and isinstance(child, BaseModel):
            yield from missing(child, shown[0])


def test_every_key_has_a_meaning_and_stands_there_once() -> None:
    assert not [path for path, key in KEYS.items() if not key.meaning]
    assert len(KEYS) == len(all_keys())


def test_every_field_of_every_section_is_shown() -> None:
    default = experiment_from({"task": "arrows"})
    assert list(missing(default)) == []
    assert list(missing(sweep_sections({}))) == []
    unknown = default.model_copy(update={"train": sweep_sections({}).stability})
    assert "train.candidates" in list(missing(unknown))


@pytest.mark.parametrize(
    ("path", "registry"),
    [
        ("task", TASKS),
        ("optimizer", OPTIMIZERS),
        ("curriculum", CURRICULA),
        ("search.sampler", SAMPLERS),
        ("search.scheduler", SCHEDULERS),
    ],
)
def test_every_form_of_a_section_is_shown_with_its_keys(
    path: str, registry: dict[str, type[BaseModel]]
) -> None:
    for name, model in registry.items():
        assert KEYS[f"{path}[{name}]"].meaning
        fields = [field for field in model.model_fields if field != "name"]
        shared = {field for field in fields if f"{path}.{field}" in KEYS}
        assert {f for f in fields if f"{path}[{name}].{f}" in KEYS} | shared == set(fields)


def test_parts_of_a_curriculum_are_shown_with_all_their_forms() -> None:
    for part in Curriculum.model_fields:
        assert part == "name" or f"curriculum.{part}" in KEYS
    assert KEYS["curriculum.depth[stages].stages[].at"].default == "required"
    assert KEYS["curriculum.halt_weight[linear].start"].default == "0.0"
    assert KEYS["curriculum[cgar].depth"].default == "cgar"


def test_types_and_defaults_are_those_of_the_models() -> None:
    shown = {
        "train.batch_size": ("integer from 1 to 1048576", "768"),
        "train.ema": ("number >= 0, < 1, or null", "0.999"),
        "train.budget": ("section", "{steps: 60000}"),
        "task": ("section: " + " | ".join(TASKS), "required"),
        "search.seeds": ("integer from 1 to 1000", "1"),
        "search.sampler": ("section: " + " | ".join(SAMPLERS), "auto"),
        "log.wandb.mode": ("off | online | offline", "'off'"),
        "model.mixer": (
            "attention | linear_attention | conv_swiglu | mlp_t, or list of such names",
            "attention",
        ),
    }
    for path, (kind, default) in shown.items():
        assert KEYS[path] == Key(path, kind, default, KEYS[path].meaning)


def test_keys_of_diagnostics_are_those_that_are_validated() -> None:
    shown = {path.partition(".")[2] for path in KEYS if path.startswith("diagnostics.")}
    assert shown == set(diagnostics_class().model_fields)
