import numpy as np
import pytest

from trm.evaluation import Thinking, score
from trm.tasks.arrows import ArrowsConfig


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
    assert result.best_q_accuracy == pytest.approx((n - 1) / n)
    stated = 1 / (1 + np.exp(-2.0))
    expected = ((n - 1) * (1 - stated) + 1 / (1 + np.exp(2.0))) / n
    assert result.halt_ece == pytest.approx(expected, rel=1e-6)
    assert result.coverage_99 == pytest.approx((n - 1) / n)
    eager = score(Thinking(np.stack([wrong, mixed]), q, np.zeros(n, np.float32)), task, split, 0.2)
    assert eager.mean_steps == 1.0
    assert eager.early_exact_accuracy == 0.0


def test_the_step_with_the_highest_q_is_another_answer() -> None:
    task = ArrowsConfig(train_examples=7, valid_examples=4, test_examples=7).build()
    split = task.split("valid")
    wrong = split.labels.copy()
    wrong[:, 3] = (wrong[:, 3] + 3) % 8 + 1
    q = np.array([[3.0, 1.0, 1.0, 3.0], [2.0, 2.0, 1.0, 4.0]], dtype=np.float32)
    result = score(
        Thinking(np.stack([split.labels, wrong]), q, np.zeros(4, np.float32)), task, split
    )
    assert result.exact_accuracy == 0.0
    assert result.best_q_accuracy == 0.5  # of equal ones, the earlier step
    assert result.coverage_99 == 0.0
