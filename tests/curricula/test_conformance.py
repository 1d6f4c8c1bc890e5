"""Every schedule of every registry keeps what all schedules promise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.conformance import check
from curricula.schedule import Schedule
from tests.support.strategies import ENTRIES, SHARES, sections


@pytest.mark.parametrize("kind", [kind for _, kind in ENTRIES], ids=[name for name, _ in ENTRIES])
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_any_section_of_it_conforms(kind: type[Schedule], data: Any, seed: int) -> None:
    check(data.draw(sections(kind, SHARES)), seed)
