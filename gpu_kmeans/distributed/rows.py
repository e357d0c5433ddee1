"""Rows whose parts lie on workers, as others know rows: by shape, dtype and slices."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Matrix
from gpu_kmeans.distributed.pool import Pool, View
from gpu_kmeans.distributed.worker import Form
from gpu_kmeans.errors import UnsupportedOnBackend

__all__ = ["DaskRows"]

MOST_FETCHED = 1 << 25
"""Maximum number of non-zeros of rows that come to the client to be looked at by themselves: about
400 MB. More stay with the workers."""

_NUMBERS = itertools.count()


class _Values:
    """What is asked of the values of sparse rows."""

    def __init__(self, least: float, most: float, size: int) -> None:
        self._least, self._most, self.size = least, most, size

    def min(self) -> float:
        return self._least

    def max(self) -> float:
        return self._most


class DaskRows:
    """Sparse rows on workers, or a view of some of them.

    Attributes
    ----------
    shape : (int, int)
    dtype : dtype
    indptr : ndarray of shape (n + 1,), int64
        Where each row would begin in one CSR, by which rows are known to be sparse.
    data
        The least and the largest value; of a view, those of all rows.
    """

    is_checked_matrix = True
    """Whether rows were held to what CSR is, and to finite numbers, as they were handed out."""

    def __init__(
        self,
        pool: Pool,
        form: Form,
        indptr: NDArray[np.int64],
        n_features: int,
        extremes: tuple[float, float],
        take: Callable[[DaskRows], Matrix],
        view: View | None = None,
    ) -> None:
        self.pool = pool
        self.form = form
        self.view = view
        self.indptr = indptr
        self.extremes = extremes
        self._take = take
        self.shape = (len(indptr) - 1, n_features)
        self.dtype = np.dtype(form.dtype)
        if view is not None:
            weakref.finalize(self, pool.let_go, view=(form, view.number))

    @property
    def nnz(self) -> int:
        """Number of values."""
        return int(self.indptr[-1])

    @property
    def data(self) -> _Values:
        scale = self.form.scale
        return _Values(self.extremes[0] * scale, self.extremes[1] * scale, self.nnz)

    @property
    def which(self) -> NDArray[np.int64]:
        """Numbers of the rows among all that were handed out together."""
        return np.arange(self.shape[0]) if self.view is None else self.view.which

    def astype(self, dtype: Any) -> DaskRows:
        """Rows of another precision."""
        return self._with_form(Form(self.form.scale, np.dtype(dtype).name))

    def __mul__(self, factor: Any) -> DaskRows:
        return self._with_form(Form(self.form.scale * float(factor), self.form.dtype))

    def __getitem__(self, which: Any) -> Matrix:
        """A slice stays with the workers; a few rows by their numbers come to the client."""
        if isinstance(which, slice):
            return self._view(np.arange(self.shape[0])[which])
        which = np.asarray(which, np.int64)
        some = self._view(which)
        return self._take(some) if some.nnz <= MOST_FETCHED else some

    def _view(self, which: NDArray[np.int64]) -> DaskRows:
        lengths = np.diff(self.indptr)[which]
        indptr = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return self._like(self.form, indptr, View(next(_NUMBERS), self.which[which]))

    def _with_form(self, form: Form) -> DaskRows:
        view = None if self.view is None else View(next(_NUMBERS), self.view.which)
        return self._like(form, self.indptr, view)

    def _like(self, form: Form, indptr: NDArray[np.int64], view: View | None) -> DaskRows:
        return DaskRows(self.pool, form, indptr, self.shape[1], self.extremes, self._take, view)

    def toarray(self) -> Any:
        """Refuse: rows of this kind are many."""
        raise UnsupportedOnBackend(
            "these rows are so nearly full that they would be clustered as dense rows, which the "
            "Dask backend does not: use backend='cpu' or 'gpu' on one machine"
        )
