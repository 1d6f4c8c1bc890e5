"""What is wrong with a part of a model or of its training is one line, before it trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import Tiny
from trm.config import experiment_from
from trm.detectors import DETECTORS
from trm.detectors.detector import Detector, Finding
from trm.fault import Fault
from trm.learning.halting import HALTING_RULES, HaltingRule
from trm.learning.losses import TOKEN_LOSSES
from trm.learning.optimizers import OPTIMIZERS, OptimizerConfig
from trm.network.layers import CastedLinear
from trm.network.mixers import MIXERS, Mixer
from trm.network.model import ModelConfig, Output
from trm.network.positions import POSITIONS, Positions
from trm.training.trainer import Trainer


@pytest.fixture
def complaint(tiny: Tiny, cache: Path) -> Callable[..., str]:
    """`complaint({"model.mixer": "wrong"})`: the one line with which a training is refused."""

    def tell(changes: dict[str, Any]) -> str:
        config = experiment_from(tiny(changes))
        task = config.task.build(cache)
        with pytest.raises(Fault) as error:
            list(Trainer(config, task).run())
        text = str(error.value)
        assert "\n" not in text
        return text

    return tell


class Mixing(nn.Module):
    def __init__(self, dim: int, generator: torch.Generator, mix: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.proj, self.mix = CastedLinear(dim, dim, generator), mix

    def forward(self, x: Tensor, rope: Any = None) -> Any:
        return self.mix(self.proj(x))


@pytest.mark.parametrize(
    ("mix", "flops", "words"),
    [
        (lambda x: x[:, 1:], 1.0, "gives [2, 9, 16] for [2, 10, 16]: keep the shape"),
        (lambda x: x.transpose(1, 2), 1.0, "gives [2, 16, 10] for [2, 10, 16]: keep the shape"),
        (lambda x: x.double(), 1.0, "gives torch.float64 for torch.float32"),
        (lambda x: x / 0.0, 1.0, "gives numbers that are not finite"),
        (lambda x: (x, x), 1.0, "gives tuple: give a tensor"),
        (lambda x: x @ x, 1.0, "fails on two rows (RuntimeError: "),
        (lambda x: x, float("nan"), "counts nan FLOPs"),
        (lambda x: x, None, "counts None FLOPs"),
    ],
)
def test_mixer(
    mix: Any, flops: Any, words: str, complaint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixer = Mixer(lambda config, _, rng: Mixing(config.hidden_size, rng, mix), lambda *_: flops)
    monkeypatch.setitem(MIXERS, "wrong", mixer)
    text = complaint({"model.mixer": "wrong"})
    assert text.startswith("mixer 'wrong': ")
    assert words in text


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (Positions(added=lambda c, n, g: torch.zeros(n, 3)), "gives [10, 3] for [10, 16]"),
        (Positions(added=lambda c, n, g: torch.full((n, 16), torch.nan)), "not finite"),
        (Positions(added=lambda c, n, g: [0.0]), "gives list: give a tensor"),  # type: ignore[arg-type,return-value]
        (Positions(rotated=lambda c, n: torch.zeros(n, 8)), "does not give two rotary tables"),  # type: ignore[arg-type,return-value]
        (Positions(rotated=lambda c, n: (torch.zeros(n, 2), torch.zeros(n, 2))), "gives [10, 2]"),
    ],
)  # fmt: skip
def test_positions(
    encoding: Positions, words: str, complaint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POSITIONS, "wrong", encoding)
    text = complaint({"model.mixer": "attention", "model.pos_encodings": "wrong"})
    assert text.startswith("pos_encodings 'wrong': ")
    assert words in text


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return TOKEN_LOSSES["softmax_cross_entropy"](logits, labels)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda x, y: entropy(x, y) * torch.nan, "gives numbers that are not finite"),
        (lambda x, y: entropy(x, y).mean(), "gives [] for labels [3, 4]: give a number for each"),
        (lambda x, y: entropy(x, y).sum(-1), "gives [3] for labels [3, 4]"),
        (lambda x, y: float(entropy(x, y).detach().mean()), "gives float: give a tensor"),
        (lambda x, y: entropy(x, y) + 1.0, "counts cells whose label is ignored"),
        (lambda x, y: entropy(x, y).detach(), "has no gradient"),
        (
            lambda x, y: entropy(x, y) + (0.0 * x).sqrt().sum(-1),
            "has a gradient that is not finite",
        ),
        (lambda x, y: x[y], "fails on a few cells (IndexError: "),
    ],
)
def test_loss(loss: Any, words: str, complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOKEN_LOSSES, "wrong", loss)
    text = complaint({"loss.loss_type": "wrong"})
    assert text.startswith("loss 'wrong': ")
    assert words in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda output: output.q_halt, "does not give a bool for each row in wants_to_halt()"),
        (lambda output: (output.q_halt > 0).all(), "does not give a bool for each row"),
        (lambda output: True, "does not give a bool for each row"),
        (lambda output: output.q_stop, "fails on a few rows (AttributeError: "),
    ],
)
def test_halting(answer: Any, words: str, complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(HaltingRule):
        name: Literal["wrong"] = "wrong"

        def wants_to_halt(self, output: Output, steps: Tensor, model: ModelConfig) -> Tensor:
            return answer(output)  # type: ignore[no-any-return]

    monkeypatch.setitem(HALTING_RULES, "wrong", Wrong)
    text = complaint({"halting.name": "wrong"})
    assert text.startswith("halting rule 'wrong': ")
    assert words in text


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda p, lr: None, "build_main() gives NoneType"),
        (lambda p, lr: torch.optim.SGD([nn.Parameter(torch.ones(2))], lr), "changes no weight"),
        (lambda p, lr: torch.optim.SGD(p, 1e38, momentum=0.9), "makes weights that are not finite"),
        (lambda p, lr: torch.optim.Rprop(p, lr, etas=(1, 2)), "fails to be built"),
    ],
)
def test_optimizer(build: Any, words: str, complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(OptimizerConfig):
        name: Literal["wrong"] = "wrong"

        def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
            return build(parameters, self.lr)  # type: ignore[no-any-return]

    monkeypatch.setitem(OPTIMIZERS, "wrong", Wrong)
    text = complaint({"optimizer": {"name": "wrong"}})
    assert text.startswith("optimizer 'wrong': ")
    assert words in text


RIGHT: dict[str, Any] = {
    "detector": "wrong", "severity": "warning", "at": 0.5, "value": 1.0, "threshold": 0.5,
    "unit": "share", "words": "something",
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (True, "gives bool: give a Finding, or None"),
        (Finding(**{**RIGHT, "detector": "right"}), "gives a finding of 'right': name it 'wrong'"),
        (Finding(**{**RIGHT, "severity": "mild"}), "gives the severity 'mild'"),
        (Finding(**{**RIGHT, "at": 30}), "finds something at 30"),
        (Finding(**{**RIGHT, "at": float("nan")}), "finds something at nan"),
        (Finding(**{**RIGHT, "words": "two\nlines"}), "several lines"),
    ],
)
def test_detector(found: Any, words: str, complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from curricula.component import Component

    class WrongConfig(Component):
        """No keys."""

    wrong = Detector(lambda rows, config: found, WrongConfig, "something is wrong", "share")
    monkeypatch.setitem(DETECTORS, "wrong", wrong)
    text = complaint({})
    assert text.startswith("detector 'wrong': ")
    assert words in text


def test_a_task_is_looked_at_before_training(
    tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = experiment_from(tiny())
    task = config.task.build(cache)
    monkeypatch.setattr(task, "vocab_size", 3)
    with pytest.raises(Fault, match=r"^task 'arrows', train\.inputs: hold tokens from 1 to 8"):
        Trainer(config, task)
