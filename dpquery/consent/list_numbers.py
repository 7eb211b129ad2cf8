"""The numbers of a list: each spelling read once, each number as its pseudonym or as the reason why it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dpquery.consent.list_formats import UNPARSED, WITHHELD
from dpquery.numbers.number import Number, Unparsed
from dpquery.numbers.pool import NumberParser
from dpquery.numbers.public import PublicNumbers
from dpquery.numbers.scheme import scheme_of
from dpquery.store.secret import pseudonym

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from dpquery.store import Store

PUBLIC: Final = "public"
ERASED: Final = "erased"


class ListNumbers:
    """Reads the spellings of a list as an ingest would; a context manager, as it may start processes."""

    def __init__(self, store: Store, region: str | None, erased: Callable[[str], bool]) -> None:
        """`region`: of numbers without a country code; `erased`: whether a canonical number must stay out."""
        self._parser = NumberParser(scheme_of(store.policy))
        self._public = PublicNumbers.of(store.policy, store.public_lines)
        self._key = store.secret().key("pseudonym")
        self._region = region
        self._erased = erased

    def __enter__(self) -> Self:
        self._parser.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parser.__exit__(kind, error, trace)

    def read(self, spellings: Sequence[str]) -> list[bytes | str | tuple[str, str]]:
        """For each a pseudonym; PUBLIC or ERASED; or a reason of the quarantine and what it is about."""
        return [self._meaning(found) for found in self._parser.parse([(each, self._region) for each in spellings])]

    def _meaning(self, found: Number | Unparsed) -> bytes | str | tuple[str, str]:
        if isinstance(found, Unparsed):
            return UNPARSED, found.reason
        if found.kind == "withheld":
            return WITHHELD, "the number was not shown"
        if found.kind == "alphanumeric":
            # A heading, or a remark: what would be a sender's name in a call record names nobody in a list of people.
            return UNPARSED, "not_a_number"
        if self._public.kind_of(found) is not None:
            return PUBLIC
        return ERASED if self._erased(found.canonical) else pseudonym(self._key, found.canonical)
