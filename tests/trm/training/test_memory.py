"""Peaks are measured from a reset on, in bytes."""

from __future__ import annotations

import sys

import pytest
import torch

from tests.support.apple_gpu import has_apple_gpu
from trm.training.memory import peak_memory, reset_peak

CPU = torch.device("cpu")
BLOCK = 200 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets a process's peak")
def test_a_peak_counts_from_the_reset_on() -> None:
    reset_peak(CPU)
    before = peak_memory(CPU)
    block = torch.ones(BLOCK // 4)
    grown = peak_memory(CPU)
    del block
    reset_peak(CPU)
    assert grown - before == pytest.approx(BLOCK, rel=0.2)
    assert peak_memory(CPU) < grown - BLOCK / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_allocator_counts() -> None:
    device = torch.device("cuda")
    reset_peak(device)
    before = peak_memory(device)
    del_me = torch.ones(BLOCK // 4, device=device)
    assert peak_memory(device) - before >= del_me.numel() * 4


def test_on_an_apple_gpu_metal_counts_from_an_empty_cache_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_apple_gpu(monkeypatch)
    emptied: list[bool] = []
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append(True))
    reset_peak(torch.device("mps"))
    assert emptied == [True]
    assert peak_memory(torch.device("mps")) == 3 << 20
