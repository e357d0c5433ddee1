"""Rows of few numbers for rows of many: a truncated singular value decomposition.

Of sparse rows, which are never centred nor made dense, this is latent semantic analysis (Deerwester
et al., Indexing by latent semantic analysis, JASIS 41 (6), 1990); of dense rows, which are centred,
it is principal component analysis.

The decomposition is a randomised one: Halko, Martinsson and Tropp, Finding structure with
randomness, SIAM Review 53 (2), 2011, algorithm 4.4. Random directions, drawn on the host from the
seed, are multiplied by the rows and by their transpose in turns, which draws them to the leading
singular vectors; after each turn they are made orthonormal. The squared singular values are shifted
towards zero meanwhile, so that the small ones fade sooner: Feng, Yu and Xie, Faster randomized SVD
with dynamic shifts, ACM TOMS 50 (2), 2024. The rows' decomposition within these directions is then
that of a small matrix. What reads the rows is the backend's; there are few directions, and they
stay on the host.

Tall columns are made orthonormal by their Gram matrix, summed in float64: it reads them once, where
Householder's reflections read them once a column. Where columns are close to dependent, the Gram
matrix would lose too many digits, and reflections are taken.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Clusters, Matrix
from gpu_kmeans.backends.select import BackendSpec, choose, resolve
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.estimator import Estimator, become, join_scikit_learn
from gpu_kmeans.forking import no_fork, product
from gpu_kmeans.validation import (
    check_flag,
    check_input_features,
    check_integer,
    check_named_rows,
    check_new_rows,
    generator,
)

__all__ = ["RandomizedSVD"]

DEPENDENT = 1e-8
"""Smallest eigenvalue of a Gram matrix, as a fraction of the largest, at which it stands in for its
columns. Below, more than half of their digits would be lost."""
INDEPENDENT = 1e-3
"""Smallest such fraction, of unit columns, at which they are orthonormal to rounding after one
pass; below, it takes two."""
TIE = 1e-3
"""Relative difference of two numbers of a component below which the first decides its sign."""


class RandomizedSVD(Estimator):
    """Project rows onto their leading singular vectors; dense rows are centred first.

    Parameters
    ----------
    n_components : int
        Numbers that a row becomes; at most the number of rows, and of features.
    n_iter : int
        Number of times that directions go through the rows and back after the first time. More
        bring them closer to the singular vectors. For texts, whose singular values fall slowly, 3
        explain as much variance, within 1 %, as the 5 of scikit-learn's ``TruncatedSVD``.
    n_oversamples : int
        Directions beside ``n_components`` while these are looked for.
    normalize : bool
        Bring each projected row to length 1, so that squared distances are those of the cosine:
        what k-means is to have after a latent semantic analysis. A row that is projected to zero
        stays zero.
    random_state : int, RandomState, Generator or None
        Where the first directions come from. The same seed gives the same components of sparse
        rows, whatever the number of threads. Two backends differ by rounding, as dense rows do
        on another number of BLAS's threads. Of equal singular values, any rotation of their
        vectors is as good, and rounding decides.
    backend : {"auto", "cpu", "gpu"} or Backend

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features), dtype of the rows
        Right singular vectors, orthonormal, by falling singular value. The largest number of each,
        by magnitude, is positive.
    singular_values_ : ndarray of shape (n_components,), float64
        Of the rows, or of the centred rows.
    explained_variance_, explained_variance_ratio_ : ndarray of shape (n_components,), float64
        Variance of the projected rows (divided by n), and its share of the rows' own, which is
        that of all features together.
    mean_ : ndarray of shape (n_features,), float64, or None
        What dense rows are centred by; None for sparse rows.
    n_features_in_, feature_names_in_ : int, ndarray of str
    backend_, backend_reason_ : str

    Raises
    ------
    InputError
        Rows that cannot be read, or a parameter outside its domain (``InvalidParam``).
    """

    components_: NDArray[Any]
    singular_values_: NDArray[np.float64]
    explained_variance_: NDArray[np.float64]
    explained_variance_ratio_: NDArray[np.float64]
    mean_: NDArray[np.float64] | None
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    backend_: str
    backend_reason_: str

    def __init__(
        self,
        n_components: int = 50,
        *,
        n_iter: int = 3,
        n_oversamples: int = 14,
        normalize: bool = False,
        random_state: Any = None,
        backend: BackendSpec = "auto",
    ) -> None:
        self.n_components = n_components
        self.n_iter = n_iter
        self.n_oversamples = n_oversamples
        self.normalize = normalize
        self.random_state = random_state
        self.backend = backend

    # -- fitting ----------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the leading singular vectors of rows.

        Parameters
        ----------
        X : CSR, array or data frame of shape (n, n_features)
            Float32 and float64 are computed in as they are, other numbers in float64.
        y : ignored
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """``fit``, then the projections of the same rows."""
        backend, rows = self._fit(X)
        return self._project(backend, rows)

    def _fit(self, X: Any) -> tuple[Backend, Matrix]:
        """Fit; return the backend, and the rows as they are projected: centred if dense."""
        join_scikit_learn()
        checked, names = check_named_rows(X)
        n, n_features = checked.shape
        count = self._check_params(n, n_features)
        rng = generator(self.random_state)
        backend, reason = choose(self.backend)
        rows = backend.matrix(checked)
        is_centred = not hasattr(rows, "indptr")
        mean = backend.centroids(_as_one(backend, rows))[0].astype(np.float64)
        if is_centred:
            rows = _less(backend, rows, mean)
        width = min(count + int(self.n_oversamples), n, n_features)
        values, components = _decompose(backend, rows, count, width, int(self.n_iter), rng)
        _turn(components)

        total = backend.squared_norms(rows).sum() / n
        offset = np.zeros(count)
        if not is_centred:
            total -= float(product(mean, mean))
            offset = product(components, mean)
        self.components_ = components
        self.singular_values_ = values
        self.explained_variance_ = np.maximum(values**2 / n - offset**2, 0.0)
        shares = self.explained_variance_ / total if total > 0 else np.zeros(count)
        self.explained_variance_ratio_ = shares
        self.mean_ = mean if is_centred else None
        self.n_features_in_ = n_features
        self._n_features_out = count
        self.backend_, self.backend_reason_ = backend.name, reason
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return backend, rows

    def _check_params(self, n: int, n_features: int) -> int:
        """Check all parameters; return ``n_components``."""
        count = check_integer("n_components", self.n_components, 1)
        check_integer("n_iter", self.n_iter, 0)
        check_integer("n_oversamples", self.n_oversamples, 0)
        check_flag("normalize", self.normalize)
        if count > min(n, n_features):
            raise InvalidParam(
                f"n_components={count} must be at most min(n_samples, n_features)="
                f"{min(n, n_features)}: there are n_samples={n} and n_features={n_features}"
            )
        return count

    # -- using ------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the projections of rows, shape (n, n_components), on the host.

        After a fit on dense rows the mean that these had is taken away first, from dense and
        from sparse rows; after a fit on sparse rows, nothing is.

        Raises
        ------
        NotFitted
        FeatureMismatch
            Another number of features than the fit had.
        """
        self._require_fitted()
        fitted = getattr(self, "feature_names_in_", None)
        checked = check_new_rows(X, self.n_features_in_, fitted, type(self).__name__)
        own: Any = self.backend if not isinstance(self.backend, str) else self.backend_
        backend = resolve(own)  # nothing switches after the fit
        rows, offset = backend.matrix(checked), None
        if self.mean_ is not None and hasattr(rows, "indptr"):
            offset = product(self.components_.astype(np.float64), self.mean_)
        elif self.mean_ is not None:
            rows = _less(backend, rows, self.mean_)
        return self._project(backend, rows, offset)

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Return the dense rows, shape (n, n_features), that projected rows stand for.

        These are the rows nearest to the projected ones among all that the components can make;
        of ``normalize=True``, their directions alone.
        """
        self._require_fitted()
        scores = check_new_rows(X, self._n_features_out, None, type(self).__name__)
        scores = scores.toarray() if hasattr(scores, "toarray") else scores
        rows: NDArray[Any] = product(scores, self.components_.astype(scores.dtype, copy=False))
        return rows if self.mean_ is None else rows + self.mean_.astype(rows.dtype)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return ``["randomizedsvd0", "randomizedsvd1", ...]``, one name for each component."""
        self._require_fitted()
        fitted = getattr(self, "feature_names_in_", None)
        check_input_features(input_features, fitted, self.n_features_in_)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_features_out)], dtype=object)

    def _project(
        self, backend: Backend, rows: Matrix, offset: NDArray[np.float64] | None = None
    ) -> NDArray[Any]:
        """Return the projections of the backend's rows, less an offset, of length 1 if asked."""
        scores = _product(backend, rows, self.components_.T)
        if offset is not None:
            scores = (scores - offset).astype(scores.dtype)
        if self.normalize:
            lengths = np.sqrt(np.einsum("ij,ij->i", scores, scores, dtype=np.float64))
            scores = scores / np.where(lengths > 0, lengths, 1.0)[:, None].astype(scores.dtype)
        return scores

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, TransformerTags

        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        tags.input_tags = InputTags(sparse=True)
        return tags


def _decompose(
    backend: Backend,
    rows: Matrix,
    count: int,
    width: int,
    n_iter: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first ``count`` singular values, falling, and their right vectors, one a row.

    ``width`` directions are looked along, and ``n_iter + 1`` times they go through the rows and
    back.

    There and back the rows multiply singular vectors by the squares of their values, less a shift.
    At half the square of the last value that is wanted, all smaller squares come to lie nearer to
    zero than the wanted ones. What is smaller than the largest by more than half of the digits of
    the rows' dtype is lost.
    """
    columns = backend.transpose(rows)
    directions: NDArray[Any] = rng.random((rows.shape[1], width), dtype=rows.dtype)
    directions -= rows.dtype.type(0.5)
    shift = 0.0
    for iteration in range(n_iter + 1):
        images = _product(backend, columns, _product(backend, rows, directions))
        if shift:
            images -= directions * rows.dtype.type(shift)
        directions, singular = _orthonormal(backend, images, rounded=iteration < n_iter)
        if iteration:  # the first directions were not orthonormal
            shift = max(shift, (shift + singular[count - 1]) / 2)
    scores = _product(backend, rows, directions)
    values, vectors = _right_singular(backend, scores)
    vectors = vectors[:, :count].astype(directions.dtype)
    return values[:count], product(vectors.T, directions.T)


def _product(backend: Backend, rows: Matrix, directions: NDArray[Any]) -> NDArray[Any]:
    """Return the backend's rows times directions on the host, in the rows' dtype."""
    directions = directions.astype(rows.dtype, copy=False)
    products: NDArray[Any] = backend.to_host(backend.project(rows, directions))
    return products


def _orthonormal(
    backend: Backend, columns: NDArray[Any], rounded: bool
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return orthonormal columns with the same span, and the singular values of the columns.

    ``rounded``: near enough to orthonormal for directions that are to be multiplied again; else to
    the rounding of their dtype.
    """
    gram = backend.inner_products(columns, columns)
    lengths = np.sqrt(np.diag(gram))
    lengths[lengths == 0] = 1.0
    squares, _ = _eigen(gram)
    singular = np.sqrt(np.maximum(squares[::-1], 0.0))
    eigenvalues, vectors = _eigen(gram / lengths / lengths[:, None])
    independence = eigenvalues[0] / eigenvalues[-1] if eigenvalues[-1] > 0 else 0.0
    if independence < DEPENDENT:
        with no_fork():
            basis = np.linalg.qr(columns.astype(np.float64))[0]
        return basis.astype(columns.dtype), singular
    change = vectors / np.sqrt(eigenvalues) / lengths[:, None]
    basis = product(columns, change.astype(columns.dtype))
    if not rounded and independence < INDEPENDENT:
        basis, _ = _orthonormal(backend, basis, rounded)
    return basis, singular


def _right_singular(
    backend: Backend, columns: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return singular values of tall columns, falling, and their right vectors, one a column."""
    squares, vectors = _eigen(backend.inner_products(columns, columns))
    if squares[0] >= DEPENDENT * squares[-1] > 0:
        return np.sqrt(squares[::-1]), vectors[:, ::-1]
    with no_fork():
        triangle = np.linalg.qr(columns.astype(np.float64), mode="r")
        _, values, rows = np.linalg.svd(triangle)
    return values, rows.T


def _eigen(gram: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenvalues, rising, and eigenvectors, one a column.

    By QR iterations on one thread: NumPy's routine wakes BLAS's threads for a moment's work, and
    on a busy machine waits a hundred times longer for them than the work takes.
    """
    from scipy.linalg import eigh

    with no_fork():
        values, vectors = eigh(gram, driver="ev", check_finite=False)
    return values, vectors


def _turn(components: NDArray[Any]) -> None:
    """Let the largest number of each component, the first of (nearly) equal ones, be positive."""
    for component in components:
        sizes = np.abs(component)
        if component[(sizes >= (1 - TIE) * sizes.max()).argmax()] < 0:
            np.negative(component, out=component)


def _less(backend: Backend, rows: Matrix, mean: NDArray[np.float64]) -> Matrix:
    """Return dense rows less a row, in their dtype."""
    return rows - backend.matrix(mean[None, :].astype(rows.dtype))


def _as_one(backend: Backend, rows: Matrix) -> Clusters:
    """Return all rows as one cluster, for their mean."""
    return backend.cluster_sums(rows, np.zeros(rows.shape[0], dtype=np.int32), 1)


become(
    RandomizedSVD,
    "sklearn.base",
    "ClassNamePrefixFeaturesOutMixin",
    "TransformerMixin",
    "BaseEstimator",
)
