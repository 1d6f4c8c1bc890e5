"""A token loss: cells that are right for sure count less (focal loss, arXiv 1708.02002)."""

from torch import Tensor

from trm.learning.losses import TOKEN_LOSSES, softmax_cross_entropy


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """(1 - p)^2 times the cross-entropy of each cell, `[..., vocab]` to `[...]`; 0 if ignored."""
    entropy = softmax_cross_entropy(logits, labels)
    return (1.0 - (-entropy).exp()) ** 2 * entropy


TOKEN_LOSSES["focal"] = focal
