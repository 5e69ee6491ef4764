"""Clusters of examples by their codes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.representation import code_features
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.model import Encoder, Model, positive_count

Method = Literal["kmeans", "mixture"]
Numbers = np.ndarray[Any, np.dtype[np.float64]]
MOST_ROWS = 20_000  # training codes that are clustered
MOST_CLUSTERS = 20  # that ``auto`` tries
WIDEST_FULL = 32  # entries of a code of which components have whole covariances
STARTS = 4  # of k-means, of which the best is kept


@dataclass(frozen=True)
class Clusters:
    """Which cluster each example is of; cluster 0 is the largest of the training examples.

    Args:
        assigned: the cluster of each example of the split, (N,).
        distance: of each from the center of its own: Euclidean, or of a mixture Mahalanobis, (N,).
        sizes: examples of the split by cluster, (k,).
        centers: in code space, (k, E).
        bic: by number of clusters that were tried, lower is better; {} where it was given.
        scores: agreement with the labels, where the split has any.
    """

    assigned: Tensor
    distance: Tensor
    sizes: Tensor
    centers: Tensor
    bic: dict[int, float] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)

    def typical(self, most: int) -> list[Tensor]:
        """By cluster at most so many rows of the split, the nearest to its center first."""
        found = []
        for cluster in range(len(self.sizes)):
            rows = (self.assigned == cluster).nonzero().flatten()
            found.append(rows[self.distance[rows].argsort(stable=True)[:most]])
        return found


@torch.no_grad()
def cluster(
    model: Model,
    data: Data,
    k: int | Literal["auto"] = "auto",
    *,
    method: Method | None = None,
    split: str | Split = "test",
    seed: int = 0,
) -> Clusters:
    """Cluster training examples by their codes, and say of which cluster those of a split are.

    k-means, or a mixture of normals (whole covariances of up to 32 entries, diagonal ones beyond),
    of codes as ``embed`` has them, not standardized: entries that carry little count little.

    ``"auto"`` takes the k from 1 to 20, or to half the examples, of the lowest BIC = p ln n − 2 ln
    L, of a mixture with its p parameters; of k-means L is that of the normals of one common σ² of
    which it is the limit, every code being of its nearest: ln L = Σ_j n_j ln(n_j/n) − (nE/2) (1 +
    ln 2πσ²), p = kE + k.

    Args:
        model: one with codes.
        data: what it was trained on; 20,000 training examples at most are clustered.
        k: how many clusters.
        method: ``"kmeans"`` or ``"mixture"``; None: k-means for a given k, and a mixture for
            ``"auto"``, whose BIC asks for fewer clusters where these are no spheres of one size.
        split: whose examples are assigned, by name, or others.
        seed: of the starts.

    Raises:
        ValueError: a model without codes, no cluster, or more than training examples.

    Reference: Pelleg & Moore 2000, "X-means", section 3.2, for the BIC of k-means. Hubert & Arabie
    1985 and Vinh et al. 2010 for the scores.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> found = rp.cluster(model, data, k=10)
    >>> found.assigned.shape == data.test.labels.shape, len(found.sizes)
    (True, 10)
    >>> found.scores["adjusted_rand"].value > 0.4
    True
    """
    if not isinstance(model, Encoder):
        raise ValueError(
            "model: expected one with codes, as an autoencoder or a VAE, got "
            f"{type(model).__name__}"
        )
    method = method or ("mixture" if k == "auto" else "kmeans")
    if method not in get_args(Method):
        raise ValueError(f"method: expected {' or '.join(get_args(Method))}, got {method!r}")
    if k != "auto":
        positive_count("k", k)
    train = subset(data.train, MOST_ROWS, seed)
    if k != "auto" and k > len(train):
        raise ValueError(f"k: expected at most the {len(train)} training examples, got {k}")
    named = split if isinstance(split, str) else "given"
    rows = data.splits[split] if isinstance(split, str) else split
    codes, asked = (code_features(model, part).numpy() for part in (train, rows))
    fit = _KMeans.fit if method == "kmeans" else _Mixture.fit
    most = max(1, min(MOST_CLUSTERS, len(codes) // 2))  # clusters of one code have no variance
    tried = range(1, most + 1) if k == "auto" else [k]
    found = {number: fit(codes, number, seed) for number in tried}
    bic = {number: each.bic(codes) for number, each in found.items()} if k == "auto" else {}
    best = found[min(bic, key=bic.__getitem__) if k == "auto" else k]
    order = _order(best, codes)
    own, distance = best.nearest(asked)
    assigned = torch.from_numpy(np.argsort(order))[torch.from_numpy(own).long()]
    return Clusters(
        assigned,
        torch.from_numpy(distance),
        torch.bincount(assigned, minlength=len(order)),
        torch.from_numpy(best.centers[order]),
        bic,
        _agreement(assigned, rows, named),
    )


def _order(fitted: _Fitted, codes: Numbers) -> Any:
    """The clusters from the largest of the training codes to the smallest."""
    counts = np.bincount(fitted.nearest(codes)[0], minlength=len(fitted.centers))
    return np.argsort(-counts, kind="stable")


def _agreement(assigned: Tensor, rows: Split, name: str) -> dict[str, Score]:
    """Adjusted Rand index and adjusted mutual information with labels; {} without."""
    if rows.labels is None:
        return {}
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    labels = rows.labels.cpu().numpy()
    unit = "of 1, 0 by chance"
    return {
        key: Score(float(found(labels, assigned.numpy())), unit, len(labels), name)
        for key, found in (
            ("adjusted_rand", adjusted_rand_score),
            ("adjusted_mutual_information", adjusted_mutual_info_score),
        )
    }


def _least_variance(codes: Numbers) -> float:
    """Of a cluster: of codes that repeat themselves it would vanish, and make L infinite."""
    return max(1e-6 * float(codes.var(0).mean()), np.finfo(float).tiny)


class _Fitted(Protocol):
    """Clusters that were fitted."""

    @property
    def centers(self) -> Numbers: ...

    def nearest(self, codes: Numbers) -> tuple[Any, Numbers]:
        """The cluster of each code, and how far each is from its center."""
        ...

    def bic(self, codes: Numbers) -> float: ...


class _KMeans(NamedTuple):
    centers: Numbers

    @classmethod
    def fit(cls, codes: Numbers, k: int, seed: int) -> _KMeans:
        from sklearn.cluster import KMeans

        found = KMeans(k, n_init=STARTS, random_state=seed).fit(codes)
        return cls(found.cluster_centers_.astype(np.float64))

    def nearest(self, codes: Numbers) -> tuple[Any, Numbers]:
        distances = torch.cdist(torch.from_numpy(codes), torch.from_numpy(self.centers))
        distance, own = distances.min(1)
        return own.numpy(), distance.numpy()

    def bic(self, codes: Numbers) -> float:
        own, distance = self.nearest(codes)
        n, width = codes.shape
        counts = np.bincount(own)
        counts = counts[counts > 0]
        variance = max(float((distance**2).sum()) / (n * width), _least_variance(codes))
        log_l = float((counts * np.log(counts / n)).sum())
        log_l -= n * width / 2 * (1 + math.log(2 * math.pi * variance))
        return (len(self.centers) * (width + 1)) * math.log(n) - 2 * log_l


class _Mixture(NamedTuple):
    fitted: Any

    @classmethod
    def fit(cls, codes: Numbers, k: int, seed: int) -> _Mixture:
        from sklearn.mixture import GaussianMixture

        kind = "full" if codes.shape[1] <= WIDEST_FULL else "diag"
        least = _least_variance(codes)
        found = GaussianMixture(k, covariance_type=kind, reg_covar=least, random_state=seed)
        return cls(found.fit(codes))

    @property
    def centers(self) -> Numbers:
        means: Numbers = self.fitted.means_
        return means

    def nearest(self, codes: Numbers) -> tuple[Any, Numbers]:
        own = self.fitted.predict(codes)
        scaled = codes - self.centers[own]
        for j, factor in enumerate(self.fitted.precisions_cholesky_):  # (E, E), or (E,)
            away = scaled[own == j]
            scaled[own == j] = away * factor if factor.ndim == 1 else away @ factor
        return own, np.sqrt((scaled**2).sum(1))

    def bic(self, codes: Numbers) -> float:
        return float(self.fitted.bic(codes))
