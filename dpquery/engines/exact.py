"""Exact, bounded, secret integers on their way from the engine to the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

from dpquery.errors import broken, ensure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ExactTable:
    """One int64 array of shape (cells, width) for each measurement; opened once, by the step that adds noise."""

    __slots__ = ("__arrays",)

    def __init__(self, arrays: tuple[NDArray[np.int64], ...]) -> None:
        for array in arrays:
            ensure(
                array.ndim == 2 and array.dtype.name == "int64", "exact values are 64-bit integers by cell and place"
            )
        self.__arrays: tuple[NDArray[np.int64], ...] | None = arrays

    def open_for_noise(self) -> tuple[NDArray[np.int64], ...]:
        """The arrays; a second call stops, so that nothing else reads them."""
        if self.__arrays is None:
            broken("an exact table is opened once")
        arrays, self.__arrays = self.__arrays, None
        return arrays

    def __repr__(self) -> str:
        return "ExactTable(secret)"

    def __reduce__(self) -> Never:
        broken("an exact table never leaves its process")
