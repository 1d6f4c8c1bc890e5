"""What is claimed is claimed by a rule, from one table, and is as seldom wrong as it says."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from search.config.plan import Plan, simulated_plan
from search.guide.reference import claims_page
from search.ledger.book import Book
from search.stability.claims import CLAIMS, claim
from search.stability.confirm_race import rules
from search.stability.result import Finalist, Promise, Result
from search.stability.standing import against_defaults, lead
from search.stats.intervals import robust_scores
from search.stats.race_rules import Entrant, next_seed
from tests.support.folders import ROOT
from tests.support.reported import TREE

ROOMS = ("analysis", "report", "export", "stability", "sweep", "logs")
PRINTED = {"claim", "_claimed"}
WORDS = ("ahead of", "behind your", "beats one", "separated from", "than seeds explain",
         "significant", "beyond doubt", "is settled", "not settled", "surely")  # fmt: skip
SWEEPS = 1000


def modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / "search" / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def test_every_claim_is_printed_and_every_print_is_a_claim() -> None:
    used: set[str] = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in PRINTED:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    used.add(first.value)
                elif isinstance(first, ast.JoinedStr):  # one of several endings
                    start = first.values[0]
                    assert isinstance(start, ast.Constant)
                    used |= {name for name in CLAIMS if name.startswith(start.value)}
    assert used - {"name"} == set(CLAIMS)


def test_nothing_else_speaks_of_significance() -> None:
    found = []
    for path, tree in modules():
        told = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        if path.endswith("stability/claims.py"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):
                told.add(id(node.value))
        found += [
            f"{path}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in told
            and any(word in node.value for word in WORDS)
        ]
    assert found == []


def test_the_table_of_the_guide_has_every_claim() -> None:
    page = claims_page()
    assert all(f"| {one.text} | {one.rule} | {one.wrong} |" in page for one in CLAIMS.values())
    assert len([line for line in page.splitlines() if line.startswith("| ")]) == len(CLAIMS) + 1


@pytest.mark.parametrize("name", list(CLAIMS))
def test_a_claim_takes_the_numbers_that_it_names(name: str) -> None:
    fields = [field for _, field, _, _ in string.Formatter().parse(CLAIMS[name].text) if field]
    text = claim(name, **{field: f"<{field}>" for field in fields})
    assert all(f"<{field}>" in text for field in fields)
    assert CLAIMS[name].rule
    assert CLAIMS[name].wrong


@pytest.fixture(scope="module")
def plan() -> Plan:
    tree: dict[str, Any] = {**TREE, "stability": {"candidates": 4, "seeds": 3, "promise_seeds": 3}}
    return simulated_plan(tree)


TRUTHS = ("all alike", "near", "apart", "one in five fails", "spreads differ")


def drawn(truth: str, rng: np.random.Generator) -> tuple[list[float], list[float], float]:
    """True centres of four finalists and the defaults, the spread of each, and how many fail."""
    centres = [0.7] * 5
    if truth in ("near", "one in five fails"):
        centres = list(0.7 + rng.normal(0, 0.02, 5))
    elif truth != "all alike":
        centres = list(rng.uniform(0.5, 0.85, 5))
    spreads = [0.03] * 5
    if truth == "spreads differ":
        spreads = list(rng.choice([0.01, 0.06], 5))
    return centres, spreads, 0.2 if truth == "one in five fails" else 0.0


def swept(plan: Plan, book: Book, truth: str, number: int) -> tuple[bool, bool, bool, bool]:
    """One made-up sweep: whether it claims to be ahead of the finalists, of the defaults, and
    whether each of these is true."""
    rng = np.random.default_rng([number, TRUTHS.index(truth)])
    centres, spreads, failing = drawn(truth, rng)
    means = [centre * (1 - failing) for centre in centres]

    def seed(key: int) -> float:
        if rng.random() < failing:
            return 0.0
        return float(np.round(np.clip(rng.normal(centres[key], spreads[key]), 0, 1) * 500) / 500)

    granted, scores = rules(plan, 4, {}), {key: [] for key in range(4)}
    while True:
        entrants = {key: Entrant(own) for key, own in scores.items()}
        key = next_seed(entrants, granted, 500)
        if key is None:
            break
        scores[key].append(seed(key))
    ranked = robust_scores(scores, examples=500)
    left = granted.left(scores, 500)
    winner = max(left, key=lambda key: ranked[key].lower)
    finalists = [
        Finalist(trial=key, explored=0.0, robust=ranked[key].lower, mean=ranked[key].mean,
                 scores=scores[key], failures=0)
        for key in scores
    ]  # fmt: skip

    def promised(key: int) -> Promise:
        own = [seed(key) for _ in range(3)]
        return Promise(seeds=[1, 2, 3], scores=own, mean=sum(own) / 3, low=0, high=1, test=own)

    result = Result(
        winner=winner, objective="exact_accuracy", confidence=0.9, candidates=finalists,
        promise=promised(winner), reference=promised(4),
    )  # fmt: skip
    gap = against_defaults(plan, result, book)
    assert gap is not None
    best = all(means[winner] > means[key] for key in range(4) if key != winner)
    over = gap.df > 0 and gap.low > 0
    return lead(plan, result, book).ahead, best, over, means[winner] > means[4]


@pytest.mark.parametrize("truth", TRUTHS)
def test_ahead_is_wrong_in_at_most_a_tenth_of_a_thousand_sweeps(plan: Plan, truth: str) -> None:
    book = Book()
    params, config = plan.space.sample(np.random.default_rng(1))
    for _ in range(4):
        book.add_trial(stage="explore", params=params, config=config, seed=0)
    found = [swept(plan, book, truth, number) for number in range(SWEEPS // len(TRUTHS))]
    of_finalists = [true for said, true, _, _ in found if said]
    of_defaults = [true for _, _, said, true in found if said]
    print(truth, len(of_finalists), of_finalists.count(False), len(of_defaults),
          of_defaults.count(False))  # fmt: skip
    assert of_finalists.count(False) <= 0.1 * len(found)
    assert of_defaults.count(False) <= 0.1 * len(found)
    if truth in ("apart", "spreads differ"):
        assert len(of_finalists) > 0.2 * len(found)
        assert len(of_defaults) > 0.2 * len(found)
