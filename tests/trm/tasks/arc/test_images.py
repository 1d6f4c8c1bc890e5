"""Images of ARC's puzzles, and back; their names are the reference's."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.arc_puzzles import puzzle
from trm.tasks.arc import ArcPuzzle
from trm.tasks.arc.grids import IMAGES, Grid, canonical, turned, unturned
from trm.tasks.arc.images import draw_images


def test_images_are_eight_and_undone() -> None:
    rng = np.random.default_rng(2)
    one = rng.integers(10, size=(3, 4)).astype(np.uint8)
    images = [turned(one, image) for image in range(IMAGES)]
    assert len({(image.shape, image.tobytes()) for image in images}) == IMAGES
    assert all(np.array_equal(unturned(image, n), one) for n, image in enumerate(images))
    names = np.concatenate(([0], 1 + rng.permutation(9)))
    keys = {canonical((turned(names[one], n), turned(names[one.T], n))) for n in range(IMAGES)}
    assert keys == {canonical((one, one.T))}
    assert canonical((one, one)) not in keys
    other = np.where(one == 0, 9, np.where(one == 9, 0, one))
    assert canonical((other, other)) != canonical((one, one)), "the background is no colour"


def test_identifiers_are_images_with_names_as_the_reference_has_them() -> None:
    puzzles = [_read(puzzle(n), str(n)) for n in range(5)]
    images = draw_images(puzzles, 50, 0)
    assert images.counts.tolist() == [50] * 5
    assert images.first.tolist() == [1, 51, 101, 151, 201]
    assert images.name(0) == "<blank>"
    assert images.name(51) == "1|||t0|||0123456789"
    one = puzzles[1].shown[0][0]
    seen = set()
    for identifier in range(51, 101):
        moved = images.of(one, identifier)
        seen.add(images.name(identifier))
        assert np.array_equal(images.undone(moved, identifier), one)
        assert images.colours[identifier][0] == 0
    assert len(seen) == 50
    few = ArcPuzzle("x", ((np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)),), ())
    assert draw_images([few], 1000, 0).counts.tolist() == [IMAGES * 9]


def _read(tree: dict[str, Any], name: str) -> ArcPuzzle:
    def pairs(part: str) -> tuple[tuple[Grid, Grid], ...]:
        return tuple(
            (np.array(pair["input"], np.uint8), np.array(pair["output"], np.uint8))
            for pair in tree[part]
        )

    return ArcPuzzle(name, pairs("train"), pairs("test"))
