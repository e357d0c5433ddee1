"""The functions that a text goes through, one after another, to be looked at or overridden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpu_kmeans.estimator import Estimator
from gpu_kmeans.features.analysis import Analysis
from gpu_kmeans.features.tfidf_params import check_analysis

__all__ = ["AnalysisBuilders"]

HOOKS = ("build_preprocessor", "build_tokenizer")
"""Methods that a subclass may override to find terms in its own way."""


class AnalysisBuilders(Estimator):
    """An estimator whose parameters say how terms are found: see :class:`Analysis`."""

    preprocessor: Callable[[Any], Any] | None
    tokenizer: Callable[[Any], Any] | None
    stop_words: Any

    def build_analyzer(self) -> Callable[[Any], list[str]]:
        """Return the function from a text, as it is given, to its terms."""
        return self._analysis(HOOKS)

    def build_preprocessor(self) -> Callable[[Any], Any]:
        """Return the function that a decoded text goes through first."""
        return self._analysis().preprocess if self.preprocessor is None else self.preprocessor

    def build_tokenizer(self) -> Callable[[Any], Any]:
        """Return the function from a preprocessed text to its tokens."""
        return self._analysis().tokenize if self.tokenizer is None else self.tokenizer

    def decode(self, document: Any) -> Any:
        """Return the text of a document: that of its file, and bytes decoded."""
        return self._analysis().decode(document)

    def get_stop_words(self) -> frozenset[str] | None:
        """Return the tokens that are dropped; None for none."""
        return None if self.stop_words is None else self._analysis().stop_words

    def _analysis(self, hooks: Sequence[str] = ()) -> Analysis:
        """Check the parameters of the analysis; a subclass may override some of its methods."""
        params = self.get_params()
        for hook in hooks:
            if getattr(type(self), hook) is not getattr(AnalysisBuilders, hook):
                params[hook.removeprefix("build_")] = getattr(self, hook)()
        return check_analysis(params)
