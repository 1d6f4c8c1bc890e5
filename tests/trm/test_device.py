from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.support.apple_gpu import NAME, has_apple_gpu
from trm import device
from trm.device import Resolved, is_here, resolve
from trm.errors import UserError
from trm.train_config import TrainConfig


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, bf16: bool = True) -> None:
    """As if this machine had so many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Imaginary 9000")


def test_auto_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)
    assert resolve(TrainConfig(threads=3)) == Resolved("cpu", "cpu", "float32", 3)
    assert resolve(TrainConfig()).dtype == torch.float32
    assert not resolve(TrainConfig()).compile
    assert resolve(TrainConfig(compile=True)).compile


def test_auto_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2)
    assert resolve(TrainConfig()) == Resolved("cuda", "Imaginary 9000", "bfloat16", 1)
    assert resolve(TrainConfig(device="cuda:1")).device == "cuda:1"
    assert resolve(TrainConfig(device="cpu")) == Resolved("cpu", "cpu", "float32", 1)
    gpus(monkeypatch, 1, bf16=False)
    assert resolve(TrainConfig()).precision == "float32"


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_chosen_precision_is_kept(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    gpus(monkeypatch, 1)
    assert resolve(TrainConfig(device=device, precision="float32")).precision == "float32"
    assert resolve(TrainConfig(device="cpu", precision="bfloat16")).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "is no torch device"),
        ("", "is no torch device"),
        ("meta", "is not supported"),
        ("cuda", "is not there"),
        ("cuda:2", "is not there"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, words: str
) -> None:
    gpus(monkeypatch, 2 if device == "cuda:2" else 0)
    with pytest.raises(UserError, match=f"^train.device: '{device}' {words}: use auto"):
        resolve(TrainConfig(device=device))
    with pytest.raises(UserError, match=r"^--device: "):
        resolve(TrainConfig(device=device), "--device")


def test_auto_with_an_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    has_apple_gpu(monkeypatch)
    expected = Resolved("mps", NAME, "float32", 3)
    assert resolve(TrainConfig(threads=3)) == expected
    assert resolve(TrainConfig(threads=3, device="mps", precision="float32")) == expected
    assert resolve(TrainConfig(device="mps:0")).device == "mps:0"
    assert resolve(TrainConfig(device="cpu")).device == "cpu"
    gpus(monkeypatch, 1)
    assert resolve(TrainConfig()).device == "cuda"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"precision": "bfloat16"}, "train.precision: bfloat16: set it to auto, or use cpu"),
        ({"compile": True}, "train.compile: true: set it to false, or use cpu"),
    ],
)
def test_auto_leaves_an_apple_gpu_alone_that_cannot_do_it(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], words: str
) -> None:
    has_apple_gpu(monkeypatch)
    assert resolve(TrainConfig(**given)).device == "cpu"
    with pytest.raises(UserError, match=f"^train.device: 'mps' does not have {words}$"):
        resolve(TrainConfig(device="mps", **given))


def test_an_apple_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="'mps' is not there: use auto or cpu"):
        resolve(TrainConfig(device="mps"))
    assert not is_here(torch.device("mps"))
    has_apple_gpu(monkeypatch)
    with pytest.raises(UserError, match="'mps:1' is not there"):
        resolve(TrainConfig(device="mps:1"))
    with pytest.raises(UserError, match="'cuda' is not there"):
        resolve(TrainConfig(device="cuda"))


def test_bfloat16_is_warned_of_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.01 < device.bfloat16_cost() < 1e4
    slow = resolve(TrainConfig(device="cpu", precision="bfloat16"))
    plain = resolve(TrainConfig(device="cpu"))
    monkeypatch.setattr(device, "bfloat16_cost", lambda: 43.2)
    assert "takes 43 times as long" in device.slow_precision(slow)
    assert device.slow_precision(plain) == ""
    assert device.slow_precision(replace(slow, device="cuda:0")) == ""
    monkeypatch.setattr(device, "bfloat16_cost", lambda: 0.5)
    assert device.slow_precision(slow) == ""
