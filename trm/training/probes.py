"""What a trained recursion does beyond its metrics: settle, expand, hold its answer when deeper.

Probes only read: no generator of the run, no gradient and no weight is touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from trm.diagnostics import DiagnosticsConfig
from trm.evaluation import right_rows
from trm.network.float64 import in_float64
from trm.network.model import TRM, Latent
from trm.network.residual import residual
from trm.tasks.base import IGNORE, Split, Task

_START = 20_201
"""Seed of the power iteration's start vectors."""


@dataclass(frozen=True)
class Probes:
    """The probed columns of `Report`, which says what they mean; None where not measured."""

    trainset_exact_accuracy: float | None = None
    train_gap: float | None = None
    residual_H: float | None = None
    residual_L: float | None = None
    late_residual: float | None = None
    settled: float | None = None
    exact_accuracy_2x: float | None = None
    exact_accuracy_4x: float | None = None
    exact_accuracy_8x: float | None = None
    depth_drop: float | None = None
    spectral_radius: float | None = None


def probe(
    model: TRM,
    task: Task,
    config: DiagnosticsConfig,
    *,
    valid: Split,
    train: Split,
    steps: int,
    batch_size: int,
    device: torch.device,
) -> Probes:
    """Measure a model, at full depth, with the weights that it has now.

    Args:
        valid: at most `config.examples` puzzles.
        train: likewise, as they stand in the data, without augmentation.
        steps: supervision steps that the model was trained for.
        batch_size: puzzles at once.
    """
    with _eager(model):
        deep = _deepen(model, task, config, valid, steps, config.beyond, batch_size, device)
        seen = _deepen(model, task, config, train, steps, 1, batch_size, device)
        radius = None
        if config.radius_examples:
            inputs, _, identifiers = _tensors(valid, 0, config.radius_examples, device)
            with torch.no_grad():
                x = model.embed(inputs, identifiers).float()
                latent = _run(model, model.fresh_latent(len(x)), x, steps)
            radii = spectral_radius(model, latent, x, config.radius_iterations)
            radius = float(radii.cpu().quantile(0.5))
    exact = {multiple: float(in_float64(right).mean()) for multiple, right in deep.exact.items()}
    fitted = float(in_float64(seen.exact[1]).mean())
    return Probes(
        trainset_exact_accuracy=fitted,
        train_gap=fitted - exact[1],
        residual_H=_finite(deep.residual_H[1]),
        residual_L=_finite(deep.residual_L[1]),
        late_residual=_finite(deep.residual_H[config.beyond]),
        settled=float(in_float64(deep.residual_H[config.beyond] < config.settle_below).mean()),
        exact_accuracy_2x=exact.get(2),
        exact_accuracy_4x=exact.get(4),
        exact_accuracy_8x=exact.get(8),
        depth_drop=exact[1] - exact[config.beyond] if config.beyond > 1 else None,
        spectral_radius=radius if radius is None or math.isfinite(radius) else None,
    )


@dataclass(frozen=True)
class _Depths:
    """Per multiple of the trained depth, one entry a puzzle, each `[n]`."""

    exact: dict[int, Tensor]
    residual_H: dict[int, Tensor]
    residual_L: dict[int, Tensor]


@torch.no_grad()
def _deepen(
    model: TRM,
    task: Task,
    config: DiagnosticsConfig,
    split: Split,
    steps: int,
    beyond: int,
    batch_size: int,
    device: torch.device,
) -> _Depths:
    multiples = [multiple for multiple in (1, 2, 4, 8) if multiple <= beyond]
    found: list[dict[int, list[Tensor]]] = [{m: [] for m in multiples} for _ in range(3)]
    for begin in range(0, len(split), batch_size):
        inputs, labels, identifiers = _tensors(split, begin, batch_size, device)
        latent = model.fresh_latent(len(inputs))
        for step in range(1, steps * beyond + 1):
            before = latent
            latent, output = model(latent, inputs, identifiers)
            if step % steps == 0 and step // steps in multiples:
                judged = right_rows(task, inputs, labels, output.logits)
                if judged is None:
                    right = (output.logits.argmax(-1) == labels) | (labels == IGNORE)
                    judged = right.all(-1)
                values = (
                    judged,
                    residual(before.z_H, latent.z_H),
                    residual(before.z_L, latent.z_L),
                )
                for column, value in zip(found, values, strict=True):
                    column[step // steps].append(value)
    exact, in_H, in_L = ({m: torch.cat(parts) for m, parts in f.items()} for f in found)
    return _Depths(exact, in_H, in_L)


def spectral_radius(model: TRM, latent: Latent, x: Tensor, iterations: int) -> Tensor:
    """Spectral radius of the Jacobian of one supervision step's map (z_H, z_L) -> (z_H', z_L').

    Power iteration on the transposed Jacobian, whose eigenvalues are the same, by products with
    it from the right (reverse mode): examples do not mix, so each is an iteration of its own in
    one batch. The start is random and always the same. A pair of complex eigenvalues makes the
    growth of a single iteration swing; the estimate is the geometric mean of the growth over the
    last half of the iterations. With the default 8, examples of tiny models were off by
    up to 29 %, the mean over three of them by 2 % in the median: enough for a trend, not for a
    decimal.

    Args:
        latent: where the Jacobian is taken, `[batch, positions, hidden]` each.
        x: the embedded inputs, the same shape.
        iterations: how many products, at least 2.

    Returns:
        `[batch]`; 0 where the map does not depend on the state, as without `model.carry_latent`.
    """
    if not model.config.carry_latent:
        return torch.zeros(len(x), dtype=x.dtype, device=x.device)
    z_H = latent.z_H.detach().to(x.dtype).requires_grad_(True)
    z_L = latent.z_L.detach().to(x.dtype).requires_grad_(True)
    with torch.enable_grad():
        after = model.transition(Latent(z_H, z_L), x.detach())
    generator = torch.Generator().manual_seed(_START)
    v_H, v_L = (
        torch.randn(z.shape[1:], generator=generator, dtype=torch.float64)
        .to(z.dtype)  # before the device, which may have no float64
        .to(z.device)
        .expand_as(z)
        for z in (z_H, z_L)
    )
    growths = []
    for _ in range(iterations):
        norm = (v_H.flatten(1).square().sum(1) + v_L.flatten(1).square().sum(1)).sqrt()
        growths.append(norm)
        scale = norm.clamp(min=1e-30)[:, None, None]
        # Torch imports its symbolic algebra, half a second, to be given vectors beside the states.
        with torch.enable_grad():
            product = (after.z_H * (v_H / scale)).sum() + (after.z_L * (v_L / scale)).sum()
        v_H, v_L = torch.autograd.grad(product, (z_H, z_L), retain_graph=True)
    growths.append((v_H.flatten(1).square().sum(1) + v_L.flatten(1).square().sum(1)).sqrt())
    # The first norm is that of the start vector, which says nothing.
    counted = torch.stack(growths[1:])[iterations // 2 :]
    return counted.clamp(min=1e-30).log().mean(0).exp()


def weights(model: TRM) -> Tensor:
    """All weights as one vector; without a puzzle embedding of which a batch uses few rows."""
    table = model.puzzle_emb if model.sparse_rows else None
    return torch.cat([p.detach().flatten() for p in model.parameters() if p is not table])


def update_ratio(before: Tensor, after: Tensor) -> float:
    """||after - before|| / ||before|| of all weights as one vector each; 0 if they were all 0."""
    norm = float(before.norm())
    return float((after - before).norm()) / norm if norm else 0.0


def probe_gap(config: DiagnosticsConfig, steps: int, batch_size: int) -> float:
    """Training steps between two probed reports, for probes to cost about `share` of training.

    A forward or a backward pass of a supervision step on at most a batch of rows takes a quarter
    of a training step, as measured (tests/benchmarks/diagnostics.py).
    """
    passes = (config.beyond + 1) * steps * max(config.examples / batch_size, 1.0)
    if config.radius_examples:
        passes += steps + 1 + config.radius_iterations
    return 0.25 * passes / config.share


def _run(model: TRM, latent: Latent, x: Tensor, steps: int) -> Latent:
    latent = Latent(latent.z_H.to(x.dtype), latent.z_L.to(x.dtype))
    for _ in range(steps):
        latent = model.transition(latent, x)
    return latent


def _tensors(
    split: Split, begin: int, count: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    rows = slice(begin, begin + count)
    inputs, labels, identifiers = (
        torch.from_numpy(array[rows]).to(device)
        for array in (split.inputs, split.labels, split.puzzle_identifiers)
    )
    return inputs, labels, identifiers


@contextmanager
def _eager(model: TRM) -> Iterator[None]:
    """Without compiled graphs: a probe's own numbers of rows would each need another.

    Nor the compiled library: what a probe finds of a run is the same wherever that was trained.
    """
    (compiled, model.compiled), (fused, model.fused) = (model.compiled, None), (model.fused, None)
    try:
        yield
    finally:
        model.compiled, model.fused = compiled, fused


def _finite(values: Tensor) -> float | None:
    mean = float(in_float64(values).mean())
    return mean if math.isfinite(mean) else None
