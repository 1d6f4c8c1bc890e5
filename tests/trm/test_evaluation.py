import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.evaluation import Thinking, auc, score
from trm.tasks.arrows import ArrowsConfig


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([s for s, _ in rows], dtype=np.float64)
    positive = np.array([p for _, p in rows])
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[positive]
        for b in scores[~positive]
    ]
    assert auc(scores, positive) == pytest.approx(np.mean(pairs) if pairs else 0.5)


def test_a_score_that_is_not_finite_ranks_nothing() -> None:
    assert auc(np.array([np.nan, 1.0]), np.array([True, False])) == 0.5


def test_metrics_by_hand() -> None:
    task = ArrowsConfig(train_examples=7, valid_examples=7, test_examples=7).build()
    split = task.split("valid")
    n = len(split)
    right, wrong = split.labels.copy(), split.labels.copy()
    wrong[:, 3] = (wrong[:, 3] + 3) % 8 + 1
    mixed = right.copy()
    mixed[0] = wrong[0]
    # Step 1 wrong everywhere, step 2 right but for one example, which never wants to halt.
    q = np.full((2, n), 2.0, dtype=np.float32)
    q[0], q[1, 0] = -1.0, -2.0
    result = score(Thinking(np.stack([wrong, mixed]), q, np.full(n, 0.25, np.float32)), task, split)
    assert result.exact_accuracy == pytest.approx((n - 1) / n)
    assert result.valid_rate == pytest.approx((n - 1) / n)
    assert result.cell_accuracy == pytest.approx(1 - 1 / (n * 16))
    assert result.halt_accuracy == 1.0
    assert result.mean_steps == 2.0
    assert result.early_exact_accuracy == pytest.approx((n - 1) / n)
    assert result.lm_loss == 0.25
    assert result.halt_loss == pytest.approx(np.log1p(np.exp(-2.0)), rel=1e-6)
    assert result.halt_auc == 1.0
    eager = score(Thinking(np.stack([wrong, mixed]), q, np.zeros(n, np.float32)), task, split, 0.2)
    assert eager.mean_steps == 1.0
    assert eager.early_exact_accuracy == 0.0
