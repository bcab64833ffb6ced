"""Metrics of a trained model on a labelled split."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibration_error", "classification_metrics", "segmentation_metrics"]

_BINS = 15


def classification_metrics(logits: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Metrics of logits (N, classes) against labels (N,), JSON-able. Rates are in [0, 1].

    loss: mean cross-entropy, nats. accuracy, top5_accuracy (None with fewer than 6 classes). precision, recall, f1:
    macro averages over the classes that occur in the labels or the predictions. roc_auc_ovo, roc_auc_ovr: macro
    averages over the classes that occur in the labels, None where fewer than two do. per_class_accuracy: None for a
    class without images. per_class: precision, recall, f1 (0 where nothing is to be divided by) and support, the images
    with that label, of each class in the order of the labels. calibration_error: see there. confusion_matrix: row =
    label, column = prediction. Raises ValueError for logits that are not finite.
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
        "calibration_error": calibration_error(np.exp(log_probabilities), labels),
        "per_class_accuracy": [float(h / n) if n else None for h, n in zip(hits, support, strict=True)],
        "per_class": _per_class(labels, predicted, classes),
        "confusion_matrix": confusion.tolist(),
        "images": len(labels),
    }


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Expected calibration error of probabilities (N, classes) against labels (N,), in [0, 1]:

        Σ_m |B_m| / N · |accuracy(B_m) - confidence(B_m)|

    B_m are the samples whose confidence, the largest probability, lies in ((m-1)/15, m/15], m = 1..15; accuracy and
    confidence are means over them. Source: arXiv 1706.04599, equation 3.
    """
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.digitize(confidence, np.arange(1, _BINS) / _BINS, right=True)
    gaps = np.bincount(bins, hit - confidence, minlength=_BINS)  # |B_m| (accuracy - confidence)
    return float(np.abs(gaps).sum() / len(labels))


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


def _per_class(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> list[dict[str, Any]]:
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(classes), average=None, zero_division=0.0
    )
    names = ("precision", "recall", "f1", "support")
    return [{name: value.item() for name, value in zip(names, row, strict=True)} for row in zip(*columns, strict=True)]


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
