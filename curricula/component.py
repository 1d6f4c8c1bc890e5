"""The base of every config section, and the lookup of a section's class by its `name`.

A registry is a plain dict of classes. Plug-ins extend it by adding to the dict; their sections are
validated like ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_serializer
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

S = TypeVar("S", bound=BaseModel)


class Component(BaseModel):
    """A frozen section of the config tree that knows its own keys and refuses all others.

    Types are strict: `"3"` is not an integer and `1` is not a boolean, but an integer is a number.

    >>> class Wheel(Component):
    ...     spokes: int = 8
    >>> Wheel(spokes=12).spokes
    12
    >>> Wheel(spoke=12)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Wheel
    spoke
    ...
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class SectionError(ValueError):
    """A named section's own errors, carried through pydantic so that their paths are not lost."""

    def __init__(self, error: ValidationError, kind: type[BaseModel]) -> None:
        super().__init__(str(error))
        self.error = error
        self.kind = kind


class UnknownNameError(ValueError):
    """A section's `name` is not in the registry."""

    def __init__(self, name: Any, remedy: str, key: str) -> None:
        super().__init__(f"unknown name {name!r}: {remedy}")
        self.name = name
        self.remedy = remedy
        self.key = key


_OPTIONS: list[Callable[[], Mapping[str, Any]]] = []
"""What gives the registries that sections look names up in."""


@contextmanager
def names_kept() -> Iterator[None]:
    """Within it names may be added to the registries, and none replaced; what was is put back.

    A run folder is read without the plug-in that wrote it, and a name of ours would then stand for
    our class: other keys, and another meaning. A module that is imported again may replace its own.

    Raises:
        ValueError: a name has been given to something else.
    """
    before = [(names, dict(names)) for give in _OPTIONS if isinstance(names := give(), dict)]
    yield
    taken = []
    for names, old in before:
        for name, what in old.items():
            new = names.get(name)
            if new is not what and getattr(new, "__module__", 0) != getattr(what, "__module__", 1):
                names[name] = what
                taken.append(name)
    if taken:
        raise ValueError(f"replaces what is called {taken[0]!r}: give its own another name")


_foreign: ContextVar[bool] = ContextVar("foreign", default=False)


@contextmanager
def foreign_names() -> Iterator[None]:
    """Within it a name that is in no registry stands for a plug-in's component, left unimported.

    So a run folder can be read without running code that it names. Such a section keeps its
    values as they stand; it is good for looking at, not for training.

    >>> with foreign_names():
    ...     found = by_name({"known": Component}, {"name": "theirs", "size": 3})
    >>> found.model_dump()
    {'name': 'theirs', 'size': 3}
    """
    token = _foreign.set(True)
    try:
        yield
    finally:
        _foreign.reset(token)


def takes_foreign_names() -> bool:
    """Whether names that no registry knows are taken as they stand here."""
    return _foreign.get()


def _as_it_stands(base: type[S], section: Mapping[str, Any]) -> S:
    """The section as an instance of the class that all of a registry's have in common."""

    def given(self: BaseModel) -> dict[str, Any]:
        # The defaults of the class that is not here are unknown, and need not be those of `base`.
        return dict(section)

    body = {
        "model_config": ConfigDict(extra="allow"),
        "__module__": __name__,
        "given": model_serializer(mode="plain")(given),
    }
    kind: type[S] = type("Foreign", (base,), body)
    return kind.model_construct(**section)


def _common(registry: Mapping[str, type[S]]) -> type[S]:
    first, *others = registry.values()
    return next(c for c in first.__mro__ if all(issubclass(kind, c) for kind in others))


def nearest(word: str, words: list[str]) -> str:
    """The remedy for an unknown word: the closest known ones first, else all of them.

    >>> nearest("adamw2", ["adamw", "adam_atan2"])
    'did you mean adamw, adam_atan2?'
    """
    close = get_close_matches(word, words, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(sorted(words))}"


def by_name(
    registry: Mapping[str, type[S]],
    section: Any,
    default: str | None = None,
    base: type[S] | None = None,
) -> S:
    """Validate a section with the class that its `name` key picks from `registry`.

    Args:
        default: the name of a section that has none; without it, one is needed.
        base: what the registry's classes have in common, for a name that `foreign_names` lets pass;
            found among them if None.

    Raises:
        ValueError: the section has no known `name`, or breaks its class's rules; `validate`
            turns either into one line with the whole path (in `trm.validation`).
    """
    if isinstance(section, BaseModel):
        return section  # type: ignore[return-value]  # validated when it was made
    key = "name"
    if isinstance(section, str):
        section, key = {"name": section}, ""
    if not isinstance(section, Mapping):
        raise ValueError(
            f"{shown(section)} must be a section with a `name`; known: {', '.join(registry)}"
        )
    name = section.get("name", default)
    if name is None:
        raise ValueError(f"needs a `name`; known: {', '.join(registry)}")
    if not isinstance(name, str) or (name not in registry and not _foreign.get()):
        raise UnknownNameError(name, nearest(str(name), list(registry)), key)
    if name not in registry:
        return _as_it_stands(base or _common(registry), section)
    kind = registry[name]
    try:
        return kind.model_validate({**section, "name": name})
    except ValidationError as error:
        raise SectionError(error, kind) from error


@dataclass(frozen=True, eq=False)
class NameIn:
    """Annotates a text that must be a name in a registry, as it stands when it is validated.

    A field that takes a list of texts too takes a list of names.

    Attributes:
        registry: its keys are the names.
        what: what they are names of, for messages; empty where the key says so.

    >>> from typing import Annotated
    >>> class Block(Component):
    ...     mixer: Annotated[str, NameIn({"attention": None})] = "attention"
    """

    registry: Mapping[str, Any]
    what: str = ""

    def __post_init__(self) -> None:
        _OPTIONS.append(lambda: self.registry)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(self._known, handler(source))

    def _known(self, value: Any) -> Any:
        if isinstance(value, list) and value:
            return [self._known(one) for one in value]
        if not isinstance(value, str) or (value not in self.registry and not _foreign.get()):
            known = nearest(str(value), list(self.registry))
            found = f"unknown {self.what} {value!r}" if self.what else f"{shown(value)} is unknown"
            raise ValueError(f"{found}: {known}")
        return value


@dataclass(frozen=True, eq=False)
class SectionIn:
    """Annotates a section whose `name` picks its class in a registry, as `by_name` does.

    Attributes:
        registry: the classes by name, or what gives them where they cannot be imported yet.
        default: the name of a section that has none; without it, one is needed.

    >>> from typing import Annotated
    >>> class Linear(Component):
    ...     name: str = "linear"
    >>> Section = Annotated[Component, SectionIn({"linear": Linear})]
    >>> class Schedule(Component):
    ...     curve: Section
    >>> Schedule.model_validate({"curve": "linear"}).curve
    Linear(name='linear')
    """

    registry: Mapping[str, type[BaseModel]] | Callable[[], Mapping[str, type[BaseModel]]]
    default: str | None = None

    def __post_init__(self) -> None:
        _OPTIONS.append(lambda: self.options)

    @property
    def options(self) -> Mapping[str, type[BaseModel]]:
        """The classes by name that there are now."""
        return self.registry() if callable(self.registry) else self.registry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(partial(self._made, source), handler(source))

    def _made(self, base: type[BaseModel], section: Any) -> BaseModel:
        return by_name(self.options, section, self.default, base)


def shown(value: Any) -> str:
    """A value as YAML would have it, for a message.

    >>> shown(None), shown(True), shown("a"), shown(1e-4)
    ('null', 'true', "'a'", '0.0001')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python writes out no whole number of that many digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
