"""Files of weights of the reference repository: read, refused, and as wide as it has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from trm.config import experiment_from
from trm.errors import UserError
from trm.network.model import TRM, ModelConfig
from trm.reference.weights import (
    CHECKPOINT_PREFIX,
    export_state_dict,
    import_state_dict,
    read_weights,
    require_shapes,
    unloadable,
    widened,
)

SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_heads": 2, "expansion": 1.0, "swiglu_multiple": 8, "puzzle_emb_len": 2,
    "H_cycles": 2, "L_cycles": 2,
}  # fmt: skip


def built(**changes: Any) -> TRM:
    model = TRM(
        ModelConfig.model_validate(SMALL | changes),
        seq_len=4,
        vocab_size=9,
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        model.q_head.weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return dict(built().state_dict())


def zipped(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def before_zips(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [zipped, before_zips])
@pytest.mark.parametrize("holder", ["", "state_dict", "model"])
def test_a_file_of_torch_is_read_whatever_holds_it(
    write: Callable[..., None], holder: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    theirs = export_state_dict(state, CHECKPOINT_PREFIX)
    write({holder: theirs, "step": 3} if holder else theirs, tmp_path / "step_3")
    back = read_weights(tmp_path / "step_3")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_safetensors_are_read_too(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(export_state_dict(state, "model."), tmp_path / "a.safetensors")
    back = read_weights(tmp_path / "a.safetensors")
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda name: f"module._orig_mod.model.{name}",
        lambda name: name.replace("inner.", "model.inner._orig_mod."),
        lambda name: name.replace("L_level.", "L_level._orig_mod."),
        lambda name: name.removeprefix("inner."),
    ],
)
def test_a_name_is_known_in_whatever_wraps_it(
    wrap: Callable[[str], str], state: dict[str, Tensor]
) -> None:
    theirs = {wrap(name): tensor for name, tensor in export_state_dict(state).items()}
    theirs["inner.rotary_emb.cos_cached"] = torch.zeros(1)
    assert import_state_dict(theirs).keys() == state.keys()


class Ran(Exception):
    """A file has run code."""


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise Ran",))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (Bomb(), "nothing else is read, for it could run code"),
        ({"weights": Bomb()}, "nothing else is read"),
        ([torch.zeros(1)], "holds no state dict of tensors"),
        ({"step": 3}, "holds no state dict of tensors"),
        ({"model.inner.H_level.layers.0.mlp.down_proj.weight": torch.zeros(1)}, "of HRM's"),
    ],
)
def test_what_is_no_state_dict_of_a_trm_is_refused(held: Any, words: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "step_1")
    with pytest.raises(UserError, match=words) as caught:
        read_weights(tmp_path / "step_1")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "step_1")
    content = (tmp_path / "step_1").read_bytes()
    (tmp_path / "step_1").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="step_1: holds no state dict, or is damaged or cut short"):
        read_weights(tmp_path / "step_1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t * float("nan"), "holds values that are not finite"),
        (lambda t: t.to(torch.int64), "is of torch.int64: save it as floats"),
    ],
)
def test_a_weight_that_is_no_finite_number_is_refused(
    change: Callable[[Tensor], Tensor], words: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(export_state_dict(state | {"lm_head.weight": change(state["lm_head.weight"])}),
               tmp_path / "step_1")  # fmt: skip
    with pytest.raises(UserError, match=rf"inner\.lm_head\.weight {words}"):
        read_weights(tmp_path / "step_1")


def test_a_weight_under_two_names_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    twice = export_state_dict(state) | export_state_dict({"H_init": state["H_init"] + 1}, "model.")
    torch.save(twice, tmp_path / "step_1")
    with pytest.raises(UserError, match=r"holds inner\.H_init under two names"):
        read_weights(tmp_path / "step_1")


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("embed_tokens", torch.zeros(11, 16), "knows 11 tokens, and the task has"),
        ("puzzle_emb", torch.zeros(5, 16), "knows 5 puzzle identifiers, and the task has"),
        ("embed_tokens", torch.zeros(9, 32), "arch.hidden_size asks for"),
        ("embed_tokens", None, "has no inner.embed_tokens.embedding_weight"),
        ("other", torch.zeros(1), "holds inner.other, which a model of its arch config"),
        ("layers.0.self_attn.qkv_proj.weight", torch.zeros(2, 2), "has the shape"),
    ],
)
def test_weights_of_another_model_are_named(
    name: str, tensor: Tensor | None, words: str, state: dict[str, Tensor]
) -> None:
    found = {**state, name: tensor}
    if tensor is None:
        del found[name]
    with pytest.raises(UserError, match=words) as caught:
        require_shapes(Path("step_1"), found, state)  # type: ignore[arg-type]
    assert str(caught.value).startswith("step_1: ")


@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_a_swiglu_as_wide_as_theirs_computes_the_same_and_learns_the_same(mixer: str) -> None:
    narrow, wide = built(mixer=mixer), built(mixer=mixer, swiglu_multiple=256)
    wide.load_state_dict(widened(narrow.state_dict(), 1.0))
    inputs, kinds = torch.tensor([[1, 2, 3, 8], [0, 0, 5, 4]]), torch.zeros(2, dtype=torch.long)
    said = []
    for model in (narrow, wide):
        _, output = model(model.fresh_latent(2), inputs, kinds)
        (output.logits.square().mean() + output.q_halt.square().mean()).backward()
        said.append(output)
    assert torch.allclose(said[0].logits, said[1].logits, atol=1e-5)
    gradients = {name: p.grad for name, p in narrow.named_parameters()}
    larger = widened({n: g for n, g in gradients.items() if g is not None}, 1.0)
    for name, parameter in wide.named_parameters():
        assert parameter.grad is not None
        # What was filled up with zeros has no gradient: its units stay as they are.
        assert torch.allclose(parameter.grad, larger[name], rtol=1e-3, atol=1e-3), name
        assert not parameter.grad[larger[name] == 0.0].any(), name


def test_a_swiglu_wider_than_theirs_is_refused() -> None:
    model = built(swiglu_multiple=300)
    with pytest.raises(UserError, match=r"mlp is 300 wide and would be 256 there"):
        widened(model.state_dict(), 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"mixer": "linear_attention"},
        {"mixer": ["attention", "mlp_t"]},
        {"pos_encodings": "rope_2d", "num_heads": 4},
        {"norm": "pre"},
        {"mlp": "conv_swiglu"},
        {"separate_networks": True},
        {"carry_latent": False},
        {"state_transfer": "gated"},
        {"initial_state": "random"},
    ],
)
def test_a_model_that_the_reference_does_not_have_is_named(changes: dict[str, Any]) -> None:
    config = experiment_from({"task": "arrows", "model": SMALL | changes})
    (line,) = unloadable(config)
    assert line.startswith(f"model.{next(iter(changes))} ")
    assert unloadable(experiment_from({"task": "arrows", "model": SMALL})) == []
