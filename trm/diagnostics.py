"""The `diagnostics` section, and what the failure detectors say of a run under it.

Detectors are pure functions from the reports of a run to findings in words. A column that is
missing or null, as in runs of older versions, is no evidence. The failures and their signals are
those that reports on TRM training name: numeric divergence (issue #28 of the reference repository),
late collapse (issue #26), overfitting (issues #9 and #19), halting collapse, dependence on EMA
(arXiv 2510.04871, table 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    create_model,
    field_validator,
)

from curricula.component import (
    Component,
    SectionError,
    foreign_names,
    nearest,
    takes_foreign_names,
)
from trm.detectors import DETECTORS
from trm.detectors.depth_divergence import DepthDivergenceConfig
from trm.detectors.detector import Detector, Finding, Severity
from trm.detectors.ema_dependence import EMAConfig
from trm.detectors.evidence import EVIDENCE
from trm.detectors.flat_line import FlatConfig
from trm.detectors.gradient_explosion import GradientConfig
from trm.detectors.halting_collapse import HaltingCollapseConfig
from trm.detectors.late_collapse import CollapseConfig
from trm.detectors.loss_spike import RollingConfig, SpikeConfig
from trm.detectors.numeric_divergence import DivergenceConfig
from trm.detectors.overfit_plateau import OverfitConfig
from trm.detectors.probing import ProbeConfig
from trm.detectors.wandering_latent import WanderConfig
from trm.fault import Fault, require
from trm.report import ReportRow


class DiagnosticsConfig(
    # pydantic takes fields from the last base to the first.
    DepthDivergenceConfig,
    WanderConfig,
    FlatConfig,
    EMAConfig,
    HaltingCollapseConfig,
    OverfitConfig,
    CollapseConfig,
    GradientConfig,
    SpikeConfig,
    DivergenceConfig,
    RollingConfig,
    ProbeConfig,
):
    """Failure detectors of a run. They never change what is trained. null turns a detector off.

    Counters of loss, gradient and update run at every step; probes are extra evaluations. A
    plug-in's detector has a section of its own, under its name.

    Attributes:
        stop_on: detectors that end a run at once, as `collapsed`. A non-finite loss always does,
            as `diverged`.
    """

    stop_on: list[str] = Field(default_factory=list)

    @field_validator("stop_on")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in DETECTORS and not takes_foreign_names():
                raise ValueError(f"unknown detector {name!r}: {nearest(name, list(DETECTORS))}")
        return names


def _section(section: Any) -> Any:
    """A section validated with the keys of all detectors that there are now."""
    if isinstance(section, DiagnosticsConfig):
        return section
    kind = diagnostics_class()
    if takes_foreign_names() and isinstance(section, Mapping):
        kind = _with_foreign(kind, tuple(key for key in section if key not in kind.model_fields))
    try:
        return kind.model_validate(section)
    except ValidationError as error:
        raise SectionError(error, kind) from error


def defaults() -> Any:
    """A section that holds nothing, to be validated with the detectors that there are by then."""
    return {}


AnyDiagnostics = SerializeAsAny[Annotated[DiagnosticsConfig, BeforeValidator(_section)]]


def diagnostics_class() -> type[DiagnosticsConfig]:
    """The class of the section: `DiagnosticsConfig`, with a field for each plug-in's detector.

    Raises:
        ValueError: a detector has the name of a key.
    """
    added = {name: one.config for name, one in DETECTORS.items() if not _is_ours(one)}
    return _extended(tuple(added.items())) if added else DiagnosticsConfig


@cache
def _extended(added: tuple[tuple[str, type[Component]], ...]) -> type[DiagnosticsConfig]:
    fields: dict[str, Any] = {}
    for name, config in added:
        if name in DiagnosticsConfig.model_fields:
            raise ValueError(f"detector {name!r} has the name of a key: name it otherwise")
        fields[name] = (config | None, Field(default_factory=dict))
    return create_model("DiagnosticsConfig", __base__=DiagnosticsConfig, **fields)


def _is_ours(detector: Detector[Any]) -> bool:
    """Whether a detector's keys stand in the section itself."""
    return detector.config is not Component and issubclass(DiagnosticsConfig, detector.config)


@cache
def _with_foreign(kind: type[DiagnosticsConfig], names: tuple[str, ...]) -> type[DiagnosticsConfig]:
    """The class with sections, as they stand, of detectors that are not here."""
    fields: dict[str, Any] = dict.fromkeys(names, (Any, None))
    return create_model("DiagnosticsConfig", __base__=kind, **fields) if names else kind


def recorded(section: Mapping[str, Any]) -> DiagnosticsConfig:
    """The section that a run has written down, for readers, which import no plug-in.

    What it says of detectors that are not here stands in it, and is asked of nobody.
    """
    with foreign_names():
        found: DiagnosticsConfig = _section(section)
    return found


def evidence() -> tuple[str, ...]:
    """The columns that detectors read: `EVIDENCE`, then what only a plug-in's reads."""
    return tuple(
        dict.fromkeys((*EVIDENCE, *(c for one in DETECTORS.values() for c in one.columns)))
    )


def diagnose(rows: Sequence[ReportRow], config: DiagnosticsConfig | None = None) -> list[Finding]:
    """All findings in the reports of one run, by detector; at most one a detector.

    >>> rows = [{"progress": 1.0, "exact_accuracy": 0.4, "mean_steps": 1.0, "diverged": True}]
    >>> [finding.detector for finding in diagnose(rows)]
    ['numeric_divergence']
    """
    config = config or diagnostics_class()()
    # What a model with a non-finite gradient or weight scores says nothing else.
    sound = [row for row in rows if not row.get("diverged")]
    found = []
    for name, detector in DETECTORS.items():
        settings = config if _is_ours(detector) else getattr(config, name, None)
        if settings is not None:
            seen = rows if detector.sees_divergence else sound
            if (finding := detector.find(seen, settings)) is not None:
                found.append(require_finding(name, finding))
    return found


def added_findings(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> list[Finding] | None:
    """Those findings that only detectors of plug-ins make; None where no plug-in has added one."""
    added = {name for name, detector in DETECTORS.items() if not _is_ours(detector)}
    if not added:
        return None
    return [finding for finding in diagnose(rows, config) if finding.detector in added]


def require_finding(name: str, finding: object) -> Finding:
    """What the detector of that name has found, if it is a finding.

    Raises:
        Fault: it is none, names another detector, or has no finite numbers.
    """
    component = f"detector {name!r}"
    if not isinstance(finding, Finding):
        raise Fault(component, f"gives {type(finding).__name__}", "give a Finding, or None")
    require(
        finding.detector == name, component, f"gives a finding of {finding.detector!r}",
        f"name it {name!r}",
    )  # fmt: skip
    require(
        finding.severity in get_args(Severity), component,
        f"gives the severity {finding.severity!r}",
        f"choose one of {', '.join(get_args(Severity))}",
    )  # fmt: skip
    require(
        isinstance(finding.at, int | float) and 0.0 <= finding.at <= 1.0, component,
        f"finds something at {finding.at}", "say at which share of the run, from 0 to 1",
    )  # fmt: skip
    require(
        bool(finding.words) and "\n" not in finding.words, component,
        "has no words, or several lines of them", "say in one line what has happened",
    )  # fmt: skip
    return finding


def describe(findings: Sequence[Finding]) -> str:
    """The diagnosis in words, one line a finding; one line too if there is none.

    >>> rows = [{"progress": 1.0, "step": 9, "diverged": True}]
    >>> print(describe(diagnose(rows)))  # doctest: +ELLIPSIS
    failure at 100%: numeric divergence: a loss or gradient was not finite after step 9: lower ...
    """
    if not findings:
        return "no failure found"
    return "\n".join(
        f"{finding.severity} at {finding.at:.0%}: {finding.detector.replace('_', ' ')}: "
        f"{finding.words}"
        for finding in findings
    )
