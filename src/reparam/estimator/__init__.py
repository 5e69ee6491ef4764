"""The door to scikit-learn: any preset as an estimator of rows X (n, D)."""

from reparam.estimator.generative_model import GenerativeModel

__all__ = ["GenerativeModel"]
