"""Whether a run's supervision steps go through the compiled library: decided once, then kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from threading import Thread

from trm.config import Experiment
from trm.device import Resolved, resolve
from trm.errors import UserError
from trm.learning.losses import LossConfig
from trm.network.fused.library import NoLibraryError, library
from trm.network.fused.step import MOST_CHANNELS, unfit, use_fused
from trm.network.model import TRM


def build_ahead(config: Experiment) -> Thread | None:
    """Build the library while other things begin, where a run of this config would wait for it.

    Returns:
        Who is at it; None where nobody will want it here.
    """
    train = config.train
    if train.kernel == "eager" or train.compile or config.model.hidden_size > MOST_CHANNELS:
        return None
    try:
        resolved = resolve(train)
    except UserError:  # said by whoever trains: a sweep's driver need not have the device
        return None
    if resolved.device != "cpu" or resolved.precision != "float32":
        return None
    builder = Thread(target=_built, name="build of the library")
    builder.start()
    return builder


def _built() -> None:
    with suppress(NoLibraryError):  # each run says so
        library()


def with_kernel(
    resolved: Resolved,
    model: TRM,
    wanted: str,
    *,
    loss: LossConfig | None = None,
    again: bool = False,
) -> Resolved:
    """The decisions with that for `kernel`, which the model follows from its next step on.

    Args:
        wanted: `auto`, `eager` or `fused`.
        loss: what training computes of a step; None where nothing is trained.
        again: the run was begun before, as `wanted`. Where that is `fused` and there is no library
            here, it goes on eagerly rather than not at all.

    Raises:
        UserError: the config asks for what there is not.
    """
    reason = "as train.kernel says" if wanted == "eager" and not again else ""
    if wanted != "eager":
        reason = "train.compile is on" if resolved.compile else unfit(model)
        if loss is not None and loss.residual_weight:
            reason = reason or "it gives no gradient to the state, for loss.residual_weight"
        try:
            if not reason:
                use_fused(model)
                return replace(resolved, kernel="fused", kernel_reason="")
        except NoLibraryError as error:
            reason = str(error)
        if wanted == "fused" and not again:
            raise UserError(
                "train.kernel", "fused", f"is not to be had here: {reason}: set it to auto"
            )
    return replace(resolved, kernel="eager", kernel_reason=reason or resolved.kernel_reason)
