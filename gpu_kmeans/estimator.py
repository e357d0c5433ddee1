"""What makes a class an estimator in scikit-learn's sense, without needing scikit-learn.

scikit-learn's own base class costs over a second to import; its contract is small: the
constructor only stores its arguments, ``get_params`` and ``set_params`` read and write
them, and tags say what the estimator is. Tags are asked for by scikit-learn alone, so it
is imported only there.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from gpu_kmeans.errors import InvalidParam, NotFitted

__all__ = ["Estimator"]


class Estimator:
    """Parameters, representation and tags of an estimator."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments as they were given."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments by name; takes effect with the next ``fit``."""
        known = self._parameter_names()
        for name, value in params.items():
            if name not in known:
                raise InvalidParam(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        shown = (
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if not _is(value, defaults[name].default)
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def _require_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFitted(f"this {type(self).__name__} is not fitted yet: call fit first")


def _is(value: Any, default: Any) -> bool:
    """Whether a parameter has its default value; arrays are no defaults."""
    return value is default or (type(value) is type(default) and bool(value == default))
