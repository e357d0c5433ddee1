"""Estimators in scikit-learn's sense, without needing scikit-learn.

scikit-learn's own base class costs over a second to import; its contract is small: the
constructor only stores its arguments, ``get_params`` and ``set_params`` read and write
them, and tags say what the estimator is. Tags are asked for by scikit-learn alone, so it
is imported only there.

Some of scikit-learn asks for more than the contract: whether an object *is* one of its classes.
So where a program has scikit-learn loaded, the classes here become subclasses of scikit-learn's,
with all that brings (``set_output``, metadata routing, a diagram in notebooks). That is looked at
when a class is made and when an estimator is, and no program imports scikit-learn by it.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, Self

from gpu_kmeans.errors import InvalidParam, NotFitted

__all__ = ["Estimator", "become", "join_scikit_learn"]

_waiting: list[tuple[type, str, tuple[str, ...]]] = []
"""Classes that are to get more bases once scikit-learn is loaded: its module, and their names."""


def become(cls: type, module: str, *names: str) -> None:
    """Add classes of a module of scikit-learn to the bases of ``cls``, now or once it is loaded."""
    _waiting.append((cls, module, names))
    join_scikit_learn()


def join_scikit_learn() -> None:
    """Give the classes that wait for it their bases from scikit-learn, if it is loaded."""
    if not _waiting or "sklearn.base" not in sys.modules:
        return
    for waiting in tuple(_waiting):
        cls, module, names = waiting
        loaded = sys.modules.get(module)
        if loaded is None or not all(hasattr(loaded, name) for name in names):
            continue  # not loaded, or loading just now
        try:
            _waiting.remove(waiting)
        except ValueError:  # another thread was sooner
            continue
        cls.__bases__ += tuple(getattr(loaded, name) for name in names)
        for kind in (cls, *_subclasses(cls)):
            kind.__init_subclass__()  # as if these bases had been there from the start


def _subclasses(cls: type) -> list[type]:
    direct: list[type] = cls.__subclasses__()
    return [*direct, *(below for kind in direct for below in _subclasses(kind))]


class Estimator:
    """Parameters, representation and tags of an estimator."""

    def __new__(cls, *args: Any, **params: Any) -> Self:
        """Make an estimator; see :func:`join_scikit_learn`."""
        join_scikit_learn()
        return super().__new__(cls)

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments as they were given."""
        join_scikit_learn()
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

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container that ``transform`` returns, as scikit-learn's ``set_output``.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None

        Raises
        ------
        InvalidParam
            scikit-learn is not installed, or this is no transformer of its kind.
        """
        try:
            import sklearn.base  # noqa: F401 - to be joined
        except ImportError:
            raise InvalidParam(
                "set_output needs scikit-learn, which is not installed: pip install scikit-learn"
            ) from None
        join_scikit_learn()
        inherited: Any = super()
        if not hasattr(inherited, "set_output"):
            raise InvalidParam(f"{type(self).__name__} has no other containers to answer in")
        inherited.set_output(transform=transform)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags

        join_scikit_learn()
        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def _require_fitted(self) -> None:
        join_scikit_learn()
        if not self.__sklearn_is_fitted__():
            raise NotFitted(f"this {type(self).__name__} is not fitted yet: call fit first")


def _is(value: Any, default: Any) -> bool:
    """Whether a parameter has its default value; arrays are no defaults."""
    return value is default or (type(value) is type(default) and bool(value == default))


become(NotFitted, "sklearn.exceptions", "NotFittedError")
