"""Lines that a fit prints as it goes, where ``verbose`` asks for them."""

from __future__ import annotations

from gpu_kmeans.backends.protocol import Callback, Progress

__all__ = ["Narrator"]


class Narrator:
    """A callback that prints each iteration, in scikit-learn's words, and asks another one on."""

    def __init__(self, callback: Callback | None) -> None:
        self.callback = callback
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> bool | None:
        """Print what was reached; the answer is the other callback's."""
        if self._last is None or progress.iteration <= self._last.iteration:
            print("Initialization complete")
        if progress.stage != "sketch":
            print(
                f"Iteration {progress.iteration}, inertia {progress.inertia:.6g} "
                f"({progress.stage}, {progress.moved} rows moved)"
            )
        self._last = progress
        return None if self.callback is None else self.callback(progress)

    def end(self, history: list[Progress], max_iter: int, tol: float) -> None:
        """Print why the start that was kept went no further."""
        last = history[-1]
        if last.moved == 0:
            print(f"Converged at iteration {last.iteration}: strict convergence.")
        elif last.stage == "lloyd" and last.iteration < max_iter:
            print(
                f"Converged at iteration {last.iteration}: center shift is within tolerance "
                f"{tol:g} of the mean variance."
            )
        else:
            print(f"Stopped at iteration {last.iteration}.")
