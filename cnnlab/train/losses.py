"""What a step makes smaller."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from cnnlab.train.config import TrainConfig

_EPS = 2.0**-24  # from 1 to the next smaller float32

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Logits (N, K) and labels, (N,) int64 or shares of the classes (N, K) → the mean over the pictures."""


def loss_of(config: TrainConfig, class_counts: Sequence[int]) -> Loss:
    """The loss that a configuration asks for, without the teacher.

    Args:
        config: Says which.
        class_counts: Training pictures of each class.
    """
    smoothing = config.label_smoothing
    if config.loss == "focal":
        return lambda logits, labels: focal(logits, labels, gamma=config.focal_gamma, smoothing=smoothing)
    weight = torch.tensor(class_weights(class_counts)) if config.loss == "weighted" else None

    def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weights = None if weight is None else weight.to(logits.device)
        return F.cross_entropy(logits.float(), labels, weights, label_smoothing=smoothing)

    return cross_entropy


def class_weights(class_counts: Sequence[int]) -> list[float]:
    """Weights with which each class counts alike: n / (K · n_k); 0 for a class without pictures."""
    present = [count for count in class_counts if count]
    return [sum(present) / (len(present) * count) if count else 0.0 for count in class_counts]


def focal(logits: torch.Tensor, labels: torch.Tensor, *, gamma: float, smoothing: float = 0.0) -> torch.Tensor:
    """−(1 − p)^γ · log p of the true class: what is told right already hardly counts.

    Lin et al., Focal loss for dense object detection, 2017, equation 4. Departure: with shares in place of a class,
    each class's term counts by its share.
    """
    num_classes = logits.shape[1]
    shares = F.one_hot(labels, num_classes) if labels.ndim == 1 else labels
    shares = shares.float() * (1 - smoothing) + smoothing / num_classes
    log_probs = F.log_softmax(logits.float(), dim=1)
    # Never quite 0: there, the slope of a power below 1 is infinite, and 0 · ∞ makes the whole gradient NaN.
    doubts = (1 - log_probs.exp()).clamp_min(_EPS)
    return -(shares * doubts**gamma * log_probs).sum(1).mean()


def distillation(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(teacher ‖ student), both softened by T; mean over the pictures.

    Hinton et al., Distilling the knowledge in a neural network, 2015, section 2; T² keeps the gradients' size.

    Args:
        student: Logits, shape (N, K).
        teacher: Likewise, without gradients.
        temperature: T.
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    soft_teacher = F.softmax(teacher.float() / temperature, dim=1)
    return F.kl_div(log_student, soft_teacher, reduction="batchmean") * temperature**2
