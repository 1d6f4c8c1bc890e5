from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from curricula.component import Component, by_name, nearest, shown
from trm.errors import UserError
from trm.validation import validate


class Wheel(Component):
    name: str
    radius: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)


class Round(Wheel):
    name: Literal["round"] = "round"
    spokes: int = Field(default=8, ge=3, le=40)
    rim: Literal["steel", "wood"] = "steel"


class Square(Wheel):
    name: Literal["square"] = "square"
    corners: list[int] = Field(default_factory=lambda: [1, 2, 3, 4], min_length=4, max_length=4)


WHEELS: dict[str, type[Wheel]] = {"round": Round, "square": Square}
AnyWheel = SerializeAsAny[Annotated[Wheel, BeforeValidator(lambda s: by_name(WHEELS, s, "round"))]]


class Bell(Component):
    tone: float
    loud: bool = False
    label: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _audible(self) -> Bell:
        if self.loud and self.tone > 20_000:
            raise ValueError(f"loud with a tone of {self.tone:g} is for bats: lower the tone")
        return self


class Cart(Component):
    front: AnyWheel = Round()
    rest: list[AnyWheel] = Field(default_factory=list)
    bells: list[Bell] = Field(default_factory=list)
    owner: Literal["Ada", "Bob", None] = None
    load: Literal["one", "two", "three", "a", "b", "c", "d", "e", "f"] = "one"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"fornt": 1}, "cart.fornt: unknown key: did you mean front?"),
        ({"zzz": 1}, "cart.zzz: unknown key: known: bells, front, load, owner, rest"),
        ({"front": "rond"}, "cart.front: unknown name 'rond': did you mean round?"),
        (
            {"front": {"name": "sqare"}},
            "cart.front.name: unknown name 'sqare': did you mean square?",
        ),
        ({"front": {"name": None}}, None),
        ({"front": 3}, "cart.front: 3 must be a section with a `name`; known: round, square"),
        ({"front": {"spoke": 3}}, "cart.front.spoke: unknown key: did you mean spokes?"),
        ({"front": {"spokes": 2}}, "cart.front.spokes: 2 must be at least 3"),
        ({"front": {"spokes": 41}}, "cart.front.spokes: 41 must be at most 40"),
        ({"front": {"spokes": 8.0}}, "cart.front.spokes: 8.0 must be a whole number"),
        ({"front": {"spokes": "8"}}, "cart.front.spokes: '8' must be a whole number"),
        ({"front": {"spokes": True}}, "cart.front.spokes: true must be a whole number"),
        ({"front": {"spokes": None}}, "cart.front.spokes: null must be a whole number"),
        ({"front": {"radius": 0}}, "cart.front.radius: 0 must be greater than 0"),
        ({"front": {"radius": float("nan")}}, "cart.front.radius: nan must be a finite number"),
        ({"front": {"radius": float("inf")}}, "cart.front.radius: inf must be a finite number"),
        ({"front": {"rim": "woood"}}, "cart.front.rim: 'woood' is unknown: use steel or wood"),
        ({"front": {"rim": 3}}, "cart.front.rim: 3 is unknown: use steel or wood"),
        (
            {"rest": ["round", {"name": "square", "corners": [1]}]},
            "cart.rest[1].corners: [1] must have at least 4 item(s)",
        ),
        (
            {"rest": [{"name": "square", "corners": [1, 2, 3, "x"]}]},
            "cart.rest[0].corners[3]: 'x' must be a whole number",
        ),
        ({"rest": "round"}, "cart.rest: 'round' must be a list"),
        ({"bells": [{}]}, "cart.bells[0].tone: is missing: give it a value"),
        ({"bells": [{"tne": 1.0}]}, "cart.bells[0].tne: unknown key: did you mean tone? (1 more)"),
        ({"bells": [4]}, "cart.bells[0]: 4 must be a section, with keys such as tone, loud, label"),
        ({"bells": [{"tone": 1, "loud": 1}]}, "cart.bells[0].loud: 1 must be true or false"),
        (
            {"bells": [{"tone": "a", "loud": 1}]},
            "cart.bells[0].tone: 'a' must be a number (1 more)",
        ),
        ({"bells": [{"tone": 1, "label": 2}]}, "cart.bells[0].label: 2 must be text"),
        ({"bells": [{"tone": 1, "label": ""}]}, "cart.bells[0].label: '' must not be empty"),
        (
            {"bells": [{"tone": 3e4, "loud": True}]},
            "cart.bells[0]: loud with a tone of 30000 is for bats: lower the tone",
        ),
        ({"owner": "ada"}, "cart.owner: 'ada' is unknown: use Ada, Bob or null"),
        ({"load": "g"}, "cart.load: 'g' is unknown: known: a, b, c, d, e, f, one, three, two"),
        ({"load": "thre"}, "cart.load: 'thre' is unknown: did you mean three?"),
        ({3: 4}, "cart[3]: unknown key: keys must be text"),
        (5, "cart: 5 must be a section, with keys such as front, rest, bells"),
    ],
)
def test_an_error_is_one_line_with_path_value_and_remedy(tree: Any, message: str | None) -> None:
    with pytest.raises(UserError) as error:
        validate(Cart, tree, "cart")
    text = str(error.value)
    assert "\n" not in text
    if message is None:
        assert "needs a `name`; known: round, square" in text
    else:
        assert text == message


def test_without_a_path_the_keys_stand_alone() -> None:
    with pytest.raises(UserError, match=r"^front\.spokes: 2 must be at least 3$"):
        validate(Cart, {"front": {"spokes": 2}})


def test_a_section_is_made_by_the_class_of_its_name() -> None:
    cart = validate(Cart, {"front": "square", "rest": [{"name": "round", "spokes": 3}]})
    assert isinstance(cart.front, Square)
    assert cart.rest == [Round(spokes=3)]
    assert validate(Cart, cart.model_dump()) == cart
    assert validate(Cart, {"front": {"spokes": 5}}).front == Round(spokes=5)


def test_an_integer_is_a_number_and_nothing_else_is_converted() -> None:
    assert validate(Cart, {"front": {"radius": 2}}).front.radius == 2.0


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        validate(Cart, {}).owner = "Ada"  # type: ignore[misc]


def test_a_long_value_is_cut() -> None:
    with pytest.raises(UserError) as error:
        validate(Cart, {"bells": [{"tone": "x" * 10_000}]})
    assert len(str(error.value)) < 200


def test_values_are_shown_as_yaml_has_them() -> None:
    assert [shown(value) for value in (None, True, False, 1, 1e-4, "a")] == [
        "null", "true", "false", "1", "0.0001", "'a'",
    ]  # fmt: skip


def test_nearest_names_the_close_ones_first_and_all_when_none_is_close() -> None:
    assert nearest("adamw2", ["adamw", "muon"]) == "did you mean adamw?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
