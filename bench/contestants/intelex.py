"""scikit-learn-intelex: oneDAL behind scikit-learn's interface.

Its estimator is taken by name: importing ``sklearnex`` alone speeds nothing up, and patching
would change what the other contestants import. Where it hands a fit on to scikit-learn, that is
refused here rather than reported under its name.
"""

from __future__ import annotations

from typing import Any

from bench.contestants.base import CannotRun, Contestant, Fit

__all__ = ["Intelex"]


class Intelex(Contestant):
    name = "scikit-learn-intelex"
    title = "scikit-learn-intelex"
    needs = ("sklearnex",)

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        return _fit(rows, k, init=start, max_iter=iterations, tol=0)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        return _fit(rows, k, random_state=seed, max_iter=300 if limit is None else limit)


def _fit(rows: Any, k: int, **arguments: Any) -> Fit:
    from sklearnex.cluster import KMeans

    fit = KMeans(k, n_init=1, **arguments).fit(rows)
    if not hasattr(fit, "_onedal_estimator"):
        raise CannotRun("scikit-learn-intelex handed this fit on to scikit-learn")
    return Fit(fit.labels_, fit.n_iter_)
