"""A worker's part of a GPU's memory. No CUDA device: torch's functions are stood in for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from search.engine import worker


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """What torch was told, on a device of 16 GB."""
    told: list[tuple[float, int]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=16 * 10**9)
    )
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda fraction, device: told.append((fraction, device)),
    )
    return told


def test_a_part_of_a_gpu_is_all_that_its_process_may_have(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_share_of_device", lambda: 0.25)
    worker._cap_device_memory()
    ((fraction, device),) = limits
    assert device == 0, "the one that Ray gave it"
    assert fraction * 16e9 == pytest.approx(4e9 - worker.CUDA_BYTES)


def test_who_has_a_whole_gpu_may_have_all_of_it(
    limits: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_share_of_device", lambda: 1.0)
    worker._cap_device_memory()
    assert not limits


@pytest.mark.parametrize("copies", [2, 3, 4, 6, 8, 12, 16, 32])
@pytest.mark.parametrize("total", [2e9, 16e9, 141e9])
def test_all_parts_together_fit(copies: int, total: float) -> None:
    each = worker.capped(1 / copies, total)
    assert 0 < each < 1 / copies
    taken = copies * (each * total + worker.CUDA_BYTES)
    assert taken <= total * (1 + 1e-9) or each == 1 / copies / 2, "at least half of it"
