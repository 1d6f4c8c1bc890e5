from __future__ import annotations

import pytest
import torch

from trm.errors import UserError
from trm.parallel import meeting
from trm.parallel.meeting import from_environment, own_device


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device("cuda", 1) == own_device("cuda:0", 1) == torch.device("cuda", 1)
    assert own_device("cpu", 7) == torch.device("cpu")
    with pytest.raises(UserError, match=r"'cuda' is not there .* has 2 GPUs, and process 3 on it"):
        own_device("cuda", 2)


@pytest.mark.parametrize(("kind", "remedy"), [("cuda:1", "with `cuda` each"), ("mps", "to cpu")])
def test_a_device_for_one_process_is_refused(kind: str, remedy: str) -> None:
    with pytest.raises(UserError, match=f"train.device: '{kind}' cannot be .*{remedy}"):
        own_device(kind, 0)


def test_a_launchers_variables_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment() is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert from_environment() is None
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="WORLD_SIZE: is set, but not what torchrun sets with it"):
        from_environment()
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UserError, match="RANK"):
        from_environment()


def test_who_joins_sees_what_the_host_says() -> None:
    hosting, port = meeting.host(2)
    joined = meeting.join("127.0.0.1", port, 1, 2, 1)
    hosting.store.set("word", "seen")
    assert joined.store.get("word") == b"seen"
    assert (hosting.rank, joined.rank, joined.size, joined.here) == (0, 1, 2, True)
