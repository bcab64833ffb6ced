"""Metrics of a trained model on a labelled split."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["classification_metrics", "segmentation_metrics"]


def classification_metrics(logits: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Metrics of logits (N, classes) against labels (N,), JSON-able. Rates are in [0, 1].

    loss: mean cross-entropy, nats. accuracy, top5_accuracy (None with fewer than 6 classes). precision, recall, f1:
    macro averages over the classes that occur in the labels or the predictions. roc_auc_ovo, roc_auc_ovr: macro
    averages over the classes that occur in the labels, None where fewer than two do. per_class_accuracy: None for a
    class without images. confusion_matrix: row = label, column = prediction. Raises ValueError for logits that are not
    finite.
    """
    from sklearn import metrics

    if not np.isfinite(logits).all():
        raise ValueError("the logits are not finite: the model has diverged")
    classes = logits.shape[1]
    log_probabilities = _log_softmax(logits.astype(np.float64))
    predicted = logits.argmax(1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0.0
    )
    confusion = metrics.confusion_matrix(labels, predicted, labels=np.arange(classes))
    support = confusion.sum(1)
    hits = np.diagonal(confusion)
    return {
        "loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "accuracy": float((predicted == labels).mean()),
        "top5_accuracy": _top5(logits, labels),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc_ovo": _roc_auc(log_probabilities, labels, "ovo"),
        "roc_auc_ovr": _roc_auc(log_probabilities, labels, "ovr"),
        "per_class_accuracy": [float(h / n) if n else None for h, n in zip(hits, support, strict=True)],
        "confusion_matrix": confusion.tolist(),
        "images": len(labels),
    }


def segmentation_metrics(loss: float, confusion: NDArray[np.int64], images: int) -> dict[str, Any]:
    """Metrics of a confusion matrix of pixels, row = label, column = prediction, JSON-able. Rates are in [0, 1].

    loss: mean cross-entropy over the labelled pixels, nats, as given. accuracy: share of these classified rightly.
    mean_iou, dice: averages over the classes that occur in the labels or the predictions. per_class_iou: None for the
    others. Raises ValueError for a loss that is not finite, or where no pixel is labelled.
    """
    if not np.isfinite(loss):
        raise ValueError("the logits are not finite: the model has diverged")
    if not confusion.any():
        raise ValueError("no pixel of the test split is labelled")
    hits, sizes = np.diagonal(confusion), confusion.sum(0) + confusion.sum(1)
    present = sizes > 0
    iou, dice = hits[present] / (sizes - hits)[present], 2 * hits[present] / sizes[present]
    by_class: list[float | None] = [None] * len(confusion)
    for index, value in zip(np.flatnonzero(present), iou, strict=True):
        by_class[index] = float(value)
    return {
        "loss": loss,
        "accuracy": float(hits.sum() / confusion.sum()),
        "mean_iou": float(iou.mean()),
        "dice": float(dice.mean()),
        "per_class_iou": by_class,
        "confusion_matrix": confusion.tolist(),
        "images": images,
    }


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _top5(logits: NDArray[Any], labels: NDArray[np.int64]) -> float | None:
    if logits.shape[1] < 6:
        return None
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return float((best == labels[:, None]).any(1).mean())


def _roc_auc(log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], multi_class: str) -> float | None:
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return None
    scores = np.exp(_log_softmax(log_probabilities[:, present]))  # over the classes that occur
    if len(present) == 2:
        return float(roc_auc_score(labels == present[1], scores[:, 1]))
    return float(roc_auc_score(labels, scores, multi_class=multi_class, labels=present))
