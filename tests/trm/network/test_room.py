"""A model that does not fit into this machine is a line, before anything is allocated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trm.errors import UserError
from trm.network.mixers import MIXERS
from trm.network.model import TRM, ModelConfig
from trm.network.room import least_weights, require_room


@pytest.mark.parametrize("mixer", [*MIXERS, ["mlp_t", "attention"]], ids=str)
@pytest.mark.parametrize(
    "more", [{}, {"separate_networks": True, "state_transfer": "gated", "mlp": "conv_swiglu"}]
)
def test_weights_are_counted_as_they_are(mixer: Any, more: dict[str, Any]) -> None:
    import torch

    config = ModelConfig.model_validate(
        {"hidden_size": 64, "num_heads": 4, "L_layers": 3, "mixer": mixer, "swiglu_multiple": 16,
         "puzzle_emb_len": 2, **more}
    )  # fmt: skip
    model = TRM(
        config, seq_len=20, vocab_size=30, num_puzzle_identifiers=50,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    true = sum(p.numel() for p in model.parameters())
    counted = least_weights(config, 20, 30, 50)
    assert counted <= true
    assert counted > 0.99 * true


def test_what_does_not_fit_is_named() -> None:
    require_room(1e9, copies=2, have=8.1e9)
    with pytest.raises(
        UserError, match=r"model: its 1e\+09 parameters need 8 GB for weights, grad"
    ):
        require_room(1e9, copies=2, have=7.9e9)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("model.hidden_size=65536", "lower hidden_size, L_layers or expansion"),
        ("model.expansion=1000", "lower hidden_size, L_layers or expansion"),
    ],
)
def test_a_model_beyond_the_machine_is_a_line(
    setting: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from search.cli import main

    more = ["--set", "model.L_layers=1000", "--set", "model.hidden_size=8192"]
    argv = ["train", "arrows4", "--out", str(tmp_path / "run"), *more, "--set", setting]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("trm: error: model: its ")
    assert line in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_batch_beyond_the_memory_is_a_line(tmp_path: Path) -> None:
    """In a process of its own, whose memory is bounded."""
    code = (
        "import resource, sys\n"
        "from search.cli import main\n"
        "import trm.training.trainer\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    argv = [
        "train", "arrows4", "--out", str(tmp_path / "run"), "--set", "train.batch_size=1048576",
        "--set", "train.budget.steps=1", "--set", "task.train_examples=100",
        "--set", "task.valid_examples=10", "--set", "task.test_examples=10",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stderr[-2000:]
    assert done.stderr.splitlines()[-1].startswith("trm: out of memory: lower train.batch_size")
    assert "Traceback" not in done.stderr
