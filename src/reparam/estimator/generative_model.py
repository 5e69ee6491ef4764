"""A preset as a scikit-learn estimator: it stands wherever PCA stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reparam.batching import in_batches, rows_at_once, slices
from reparam.config import TrainConfig
from reparam.data import Split, record_json
from reparam.data.contents import Array
from reparam.estimator.building import built, checked_parameters, is_conditional, needs_labels
from reparam.estimator.sealed import Trained, sealed, unsealed, write_run
from reparam.estimator.training_rows import (
    Kind,
    as_floats,
    data_of,
    indices_of,
    rows_of,
)
from reparam.evaluation.modes import evaluating
from reparam.model import (
    Codec,
    Coded,
    Decoder,
    Density,
    Descend,
    Encoder,
    Generator,
    Model,
    positive_count,
)
from reparam.presets import PRESETS
from reparam.presets.registry import nested
from reparam.train import History, RunFolder, fit
from reparam.train.device import find_device
from reparam.train.loop import choose_config
from reparam.train.random import alone
from reparam.use.anomalies import every_anomaly_score, known_scores

FLOATS = [np.float64, np.float32]  # what X is read as; all else becomes the first
LARGEST_SEED = 2**31 - 1

M = TypeVar("M", bound=Model)


def _has(*roles: type[Model]) -> Callable[[GenerativeModel], bool]:
    """Whether the model, or before training what its preset builds, has one of these roles."""

    def check(estimator: GenerativeModel) -> bool:
        if hasattr(estimator, "model_"):
            found = type(estimator.model_)
        elif isinstance(estimator.preset, str) and estimator.preset in PRESETS:
            found = PRESETS[estimator.preset].model
        else:
            return True  # for fit to refuse
        if not issubclass(found, roles):
            names = " or ".join(role.__name__ for role in roles)
            raise AttributeError(f"{estimator.preset}: is no {names}, as this asks for")
        return True

    return check


def _is_scored(estimator: GenerativeModel) -> bool:
    """Whether there is a likelihood or an error of reconstructions that means something."""
    if not hasattr(estimator, "model_"):
        return _has(Density, Codec)(estimator)
    return bool({"log_prob", "reconstruction"} & {*known_scores(estimator.model_)})


class GenerativeModel(TransformerMixin, BaseEstimator):
    """Any preset as a transformer, a density and a generator of rows X (n, D).

    ``transform`` gives codes, ``inverse_transform`` and ``reconstruct`` rows in the units of X,
    ``score_samples`` log p(x) in nats, ``sample`` new rows. A method that a preset does not have
    is no attribute of it, as ``score_samples`` of an autoencoder.

    Float32 rows are trained on in float32, all others in float64; what comes out has the type of
    what goes in. All columns are of one kind, and no cell is missing.

    Args:
        preset: a name that ``reparam models`` lists.
        latent_dim: entries of the code; None: the preset's own default, or as many as so few
            columns allow.
        parameters: others of the preset, by name; those of a part as ``{"codec": {"hidden": 8}}``.
        image_shape: (C, H, W) or (H, W) of images whose pixels, in this order, are the rows.
        kind: ``"binary"``, ``"levels"`` or ``"real"``; ``"auto"``: floats are real, and integers,
            flags and what is only 0 and 1 are taken as ``load_data`` takes them.
        levels: K, where X are integers 0 … K−1 that are to have probabilities.
        epochs: passes over the training rows; None: see ``TrainConfig``.
        budget: seconds after which training ends.
        batch_size: rows per step; None: the preset's own, or see ``TrainConfig``.
        lr: learning rate; at its default the preset's own, where that has another.
        validation_fraction: share of the rows that is held out to choose the weights by, of models
            that are trained in steps; where that makes none, and of all others, no row is.
        samples: draws of each row for ``score_samples``, where log p(x) is found by draws: the
            bound is tighter with more.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.
        verbose: whether training shows a bar.
        random_state: of weights, order, noise and samples; with an int every ``fit`` gives the same
            model and every ``sample`` the same rows.

    Attributes:
        model_: the trained torch model.
        history_: the curves of the training.
        space_: what a row is to the model.
        classes_: the class labels, of a model that learned from y.
        n_features_in_, feature_names_in_: the columns of X.

    Shape: X (n, D), codes (n, latent_dim).

    Likelihood: that of the preset; a lower bound for VAEs.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> pca = GenerativeModel("pca", latent_dim=2).fit(X)
    >>> pca.transform(X).shape, pca.sample(3).shape, pca.get_feature_names_out().tolist()
    ((50, 2), (3, 4), ['pca0', 'pca1'])
    """

    def __init__(
        self,
        preset: str = "vae",
        *,
        latent_dim: int | None = None,
        parameters: dict[str, Any] | None = None,
        image_shape: Sequence[int] | None = None,
        kind: Kind = "auto",
        levels: int | None = None,
        epochs: int | None = None,
        budget: float | None = None,
        batch_size: int | None = None,
        lr: float = 1e-3,
        validation_fraction: float = 0.1,
        samples: int = 1,
        device: str = "auto",
        verbose: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.preset = preset
        self.latent_dim = latent_dim
        self.parameters = parameters
        self.image_shape = image_shape
        self.kind = kind
        self.levels = levels
        self.epochs = epochs
        self.budget = budget
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.samples = samples
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a new model on rows.

        Args:
            X: (n, D), two rows or more.
            y: class labels (n,), for presets that take them; others ignore it.

        Raises:
            ValueError: an unknown preset or parameter, rows that the preset is not for, or what
                ``validate_data`` refuses.
        """
        x = validate_data(self, X, dtype="numeric", ensure_min_samples=2)
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else tuple(names.tolist())
        rows = rows_of(x, self.kind, self.levels, self.image_shape, columns)
        seed = self._drawn_seed()
        with alone(wait=True):  # of several threads, as of joblib's, one at a time
            parameters = checked_parameters(self.preset, self.latent_dim, self.parameters)
            model, labels = built(self.preset, parameters, rows, y, seed)
            config = self._chosen_config(model, seed, x.dtype == np.float32)
            in_steps = any(isinstance(stage, Descend) for stage in model.stages)
            data = data_of(rows, labels, self.validation_fraction if in_steps else 0.0, seed)
            history = fit(model, data, config, progress=bool(self.verbose))
        self._take(Trained(model, history, record_json(data), config))
        if labels is not None:
            self.classes_ = labels.classes
        elif hasattr(self, "classes_"):  # of a preset before
            del self.classes_
        return self

    def transform(self, X: Any) -> Any:
        """Codes of rows, (n, latent_dim): means, without noise.

        Raises:
            ValueError: the model needs a label of each row, which there is none of here.
        """
        x = self._read(X)
        self._refuse_unlabeled("transform")
        with evaluating([self.model_]):
            codes = in_batches(self._as(Encoder).encode, rows_at_once(self.space_), x)
        return _flat(codes, like=x)

    @available_if(_has(Decoder))
    def inverse_transform(self, X: Any) -> Array:
        """Rows (n, D) in the units of the training rows, of codes as ``transform`` gives them."""
        check_is_fitted(self)
        self._refuse_unlabeled("inverse_transform")
        codes = as_floats(check_array(X, dtype=FLOATS))
        space = self._as(Coded).code_space
        if codes.shape[1] != space.dimension:
            raise ValueError(
                f"X: expected codes of {space.dimension} entries, as transform gives them, got "
                f"{codes.shape[1]}"
            )
        z = torch.from_numpy(codes.reshape(-1, *space.shape))
        with evaluating([self.model_]):
            return _flat(in_batches(self._as(Decoder).decode, rows_at_once(self.space_), z), like=z)

    @available_if(_has(Codec))
    def reconstruct(self, X: Any, y: Any = None) -> Array:
        """Rows decoded from their codes, (n, D).

        Args:
            X: (n, D).
            y: their class labels, for a model that is conditional on them.
        """
        x = self._read(X)
        c, rows = self._condition("reconstruct", y, len(x)), rows_at_once(self.space_)
        with evaluating([self.model_]):
            return _flat(in_batches(self._as(Codec).reconstruct, rows, x, c), like=x)

    @available_if(_has(Density))
    def score_samples(self, X: Any, y: Any = None) -> Array:
        """log p(x) of each row in nats, (n,): exact, a bound or an estimate, as the preset says.

        Noise is drawn once and shared by all rows, so that a row has the same value in every call
        and company: it is ``rp.anomaly_scores`` with the other sign.

        Args:
            X: (n, D).
            y: their class labels, for a model that is conditional on them: then it is log p(x|y).
        """
        x = self._read(X)
        split = Split(x, self._condition("score_samples", y, len(x)))
        found = every_anomaly_score(
            self.model_, split, ["log_prob"], self.samples, self._config.seed
        )
        return (-found["log_prob"].score).numpy()

    @available_if(_is_scored)
    def score(self, X: Any, y: Any = None) -> float:
        """How good the model is, higher = better; never compare across these two.

        The mean of ``score_samples`` in nats; of a model without a likelihood, as an autoencoder,
        minus the squared error per row, Σ (x − x̂)² over its columns in their units.
        """
        check_is_fitted(self)
        if isinstance(self.model_, Density):
            return float(self.score_samples(X, y).mean())
        x, reconstructed = self._read(X).flatten(1).double().numpy(), self.reconstruct(X, y)
        return -float(np.square(x - reconstructed).sum(1).mean())

    @available_if(_has(Generator))
    def sample(self, n_samples: int = 1, y: Any = None) -> Array:
        """New rows, (n_samples, D), in the units of the training rows.

        Args:
            n_samples: how many.
            y: of a conditional model, a class label for all of them or one for each; None: labels
                as they occur in training.
        """
        check_is_fitted(self)
        positive_count("n_samples", n_samples)
        generator = torch.Generator().manual_seed(self._drawn_seed())
        c = None
        if y is not None:
            c = self._indices(np.full(n_samples, y) if np.ndim(y) == 0 else y, n_samples)
        parts = []
        with evaluating([self.model_]):
            for part in slices(0, n_samples, rows_at_once(self.space_)):
                n, given = part.stop - part.start, None if c is None else c[part]
                parts.append(self._as(Generator).sample(n, given, generator=generator))
        return _flat(torch.cat(parts), like=self.model_.anchor)

    @available_if(_has(Encoder))
    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the entries of codes: that of the preset and a number, as ``pca0``."""
        check_is_fitted(self)
        name, count = self.preset.replace("-", "_"), self._as(Coded).code_space.dimension
        return np.array([f"{name}{i}" for i in range(count)], dtype=object)

    def to_run(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write a run into a folder, which commands take and ``rp.load`` reads; no pickle.

        Its weights are as they were kept. What an optimizer held is not there, so that ``resume``
        trains anew.

        Args:
            path: the folder, made if absent.
            force: overwrite a run that lies there.
        """
        check_is_fitted(self)
        folder = RunFolder(Path(path))
        write_run(self._trained, folder, force)
        return folder.path

    @classmethod
    def from_run(cls, path: str | os.PathLike[str]) -> Self:
        """The trained estimator of a run that ``to_run``, ``rp.fit`` or a command wrote.

        Raises:
            ValueError: no run there, or one of a table with several kinds of columns.
        """
        folder = RunFolder(Path(path))
        content, config, model = folder.read(), folder.config(), folder.model()
        space, recipe = model.space, model.recipe
        by_attributes = is_conditional(model) and space.attributes is not None
        if recipe is None or space.kind == "mixed" or by_attributes:
            what = "of several kinds of columns" if space.kind == "mixed" else "of no preset"
            what = "that is conditional on attributes" if by_attributes else what
            raise ValueError(f"{path}: holds a model {what}, which is no estimator; use rp.load")
        parameters = dict(recipe["parameters"])
        found = cls(
            recipe["preset"],
            latent_dim=parameters.pop("latent_dim", None),
            parameters=nested(parameters) or None,
            image_shape=space.shape if space.is_image else None,
            kind=space.kind,
            levels=space.levels,
            epochs=config.epochs,
            budget=config.budget,
            batch_size=config.batch_size,
            lr=config.lr,
            device=config.device,
            random_state=config.seed,
        )
        found._take(Trained(model, folder.history() or History(), content["data"], config))
        found.n_features_in_ = space.dimension
        if content["data"]["columns"]:
            found.feature_names_in_ = np.array(content["data"]["columns"], dtype=object)
        if model.class_names:
            found.classes_ = np.array(model.class_names)
        return found

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.target_tags.required = needs_labels(self.preset, self.parameters)
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The state with the model as safetensors bytes, which no class of ours is needed for."""
        state = dict(super().__getstate__())
        if "model_" in state:
            for name in ("model_", "history_", "space_", "_record", "_config"):
                del state[name]
            state["sealed"] = sealed(self._trained)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises ValueError where another version of this library wrote the state."""
        state = dict(state)
        content = state.pop("sealed", None)
        super().__setstate__(state)
        if content is not None:
            self._take(unsealed(content))

    @property
    def _trained(self) -> Trained:
        return Trained(self.model_, self.history_, self._record, self._config)

    def _take(self, trained: Trained) -> None:
        self.model_, self.history_, self._record, self._config = trained
        self.space_ = self.model_.space

    def _as(self, role: type[M]) -> M:
        assert isinstance(self.model_, role)  # or the method would be no attribute
        return self.model_

    def _chosen_config(self, model: Model, seed: int, single: bool) -> TrainConfig:
        """How the preset is trained, but for what is said here."""
        fields = {name: getattr(self, name) for name in ("epochs", "budget", "batch_size")}
        fields = {name: value for name, value in fields.items() if value is not None}
        if self.lr != TrainConfig.lr:
            fields["lr"] = self.lr
        device, precision = self.device, "float32" if single else "float64"
        if device == "auto" and not single and find_device(device).type == "mps":
            device = "cpu"  # the other has no float64
        fields |= {"seed": seed, "device": device, "precision": precision}
        return choose_config(model, None, fields)

    def _drawn_seed(self) -> int:
        state = check_random_state(self.random_state)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(state.randint(LARGEST_SEED))

    def _read(self, X: Any) -> Tensor:
        """Rows as the model takes them, a copy: memory of joblib's is read-only."""
        check_is_fitted(self)
        x = as_floats(validate_data(self, X, reset=False, dtype=FLOATS))
        return torch.from_numpy(x).reshape(-1, *self.space_.shape)

    def _refuse_unlabeled(self, method: str) -> None:
        if is_conditional(self.model_):
            raise ValueError(
                f"{method}: {self.preset} is conditional on the label of each row, which {method} "
                "has none of; use reconstruct(X, y) and score_samples(X, y), the torch model's own "
                "model_.encode(x, c), or a preset that is not conditional"
            )

    def _condition(self, method: str, y: Any, rows: int) -> Tensor | None:
        """c of each row; None for a model that takes none, whatever y is."""
        if not is_conditional(self.model_):
            return None
        if y is None:
            raise ValueError(
                f"y: expected a class label for each row, on which {self.preset} is conditional, "
                f"got none; use {method}(X, y)"
            )
        return self._indices(y, rows)

    def _indices(self, y: Any, rows: int) -> Tensor:
        """Labels as the model takes them."""
        if not hasattr(self, "classes_"):
            raise ValueError(f"y: {self.preset} has learned no labels, expected None")
        return torch.from_numpy(indices_of(y, rows, self.classes_))


# Behind what set_output makes of them: it would wrap what ``available_if`` makes of them into
# methods that are always there.
for _name in ("transform", "fit_transform"):
    setattr(GenerativeModel, _name, available_if(_has(Encoder))(getattr(GenerativeModel, _name)))


def _flat(x: Tensor, like: Tensor) -> Array:
    """Rows (B, D) as an array of the type of ``like``."""
    return x.detach().to("cpu", like.dtype).flatten(1).numpy()
