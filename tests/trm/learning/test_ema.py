"""The moving average against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trm.learning.ema import EMA
from trm.network.model import TRM, ModelConfig


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))


def change(net: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_formula(decay: float) -> None:
    net, generator = model(), torch.Generator().manual_seed(1)
    ema = EMA(net, decay)
    history = [{name: p.detach().double().clone() for name, p in net.named_parameters()}]
    for _ in range(6):
        change(net, generator)
        ema.update(net)
        history.append({name: p.detach().double().clone() for name, p in net.named_parameters()})
    last = len(history) - 1
    for name, shadow in ema.state_dict().items():
        # decay^n w_0 + (1 - decay) sum_i decay^(n - i) w_i
        true = decay**last * history[0][name]
        for i in range(1, last + 1):
            true = true + (1 - decay) * decay ** (last - i) * history[i][name]
        assert shadow.dtype == torch.float32
        torch.testing.assert_close(shadow.double(), true, atol=1e-6, rtol=1e-5)


def test_swapped_shows_the_average_and_gives_the_weights_back() -> None:
    net, x = model(), torch.ones(1, 3)
    first = net(x).detach()
    ema = EMA(net, 1.0 - 1e-12)
    change(net, torch.Generator().manual_seed(2))
    ema.update(net)
    live = net(x).detach()
    identities = [id(p) for p in net.parameters()]
    with ema.swapped(net), torch.no_grad():
        torch.testing.assert_close(net(x), first)
        assert [id(p) for p in net.parameters()] == identities
    assert torch.equal(net(x).detach(), live)
    assert not torch.allclose(first, live)


def test_swapped_gives_the_weights_back_after_an_error() -> None:
    net, x = model(), torch.ones(1, 3)
    ema = EMA(net, 0.9)
    change(net, torch.Generator().manual_seed(2))
    live = net(x).detach()
    with pytest.raises(RuntimeError, match="inside"), ema.swapped(net):
        raise RuntimeError("inside")
    assert torch.equal(net(x).detach(), live)


def test_training_goes_on_after_swapping() -> None:
    net = model()
    ema, optimizer = EMA(net, 0.9), torch.optim.SGD(net.parameters(), lr=0.1)
    before = {name: tensor.clone() for name, tensor in ema.state_dict().items()}
    with ema.swapped(net), torch.no_grad():
        net(torch.ones(1, 3))
    weights = [p.detach().clone() for p in net.parameters()]
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert any(not torch.equal(old, p) for old, p in zip(weights, net.parameters(), strict=True))
    for name, tensor in ema.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_saved_average_goes_on_bit_for_bit() -> None:
    net, generator = model(), torch.Generator().manual_seed(3)
    ema = EMA(net, 0.9)
    change(net, generator)
    ema.update(net)
    saved: dict[str, Tensor] = {name: t.clone() for name, t in ema.state_dict().items()}
    other = EMA(model(7), 0.9)
    other.load_state_dict(saved)
    change(net, generator)
    ema.update(net)
    other.update(net)
    for name, tensor in ema.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
        assert not torch.equal(tensor, saved[name])


def test_the_puzzle_embedding_is_not_averaged() -> None:
    config = ModelConfig(hidden_size=8, num_heads=2, expansion=1.0, swiglu_multiple=8)
    generator = torch.Generator().manual_seed(0)
    model = TRM(config, seq_len=4, vocab_size=5, num_puzzle_identifiers=3, generator=generator)
    ema = EMA(model, 0.5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    ema.update(model)
    assert "puzzle_emb" not in ema.state_dict()
    live = model.lm_head.weight.detach().clone()
    assert model.puzzle_emb is not None
    with ema.swapped(model):
        assert torch.equal(model.puzzle_emb, torch.ones(3, 8))
        assert torch.allclose(model.lm_head.weight, live - 0.5)
    assert torch.equal(model.lm_head.weight, live)
