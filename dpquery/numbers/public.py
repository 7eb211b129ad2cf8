"""Numbers that belong to nobody: the lines that a policy lists, and the kinds that it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from dpquery.errors import DataError
from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.number import Number, Unparsed
from dpquery.numbers.scheme import scheme_of
from dpquery.numbers.services import service_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dpquery.policy import Policy


@dataclass(frozen=True, slots=True)
class PublicNumbers:
    """Which numbers nobody owns. All others are somebody's, and protected."""

    lines: frozenset[str] = field(repr=False)
    """The organisation's, in canonical form."""
    kinds: frozenset[str]
    sensitive: frozenset[str] = field(repr=False)
    """Helplines, clinics and the like, in canonical form."""

    @classmethod
    def of(cls, policy: Policy, public_lines: str | None) -> Self:
        """Those of the policy, `public_lines` being the text of its file of lines.

        DataError DPQ-509 names the first entry that is no number by its place in the list.
        """
        listed = [line.partition("#")[0].strip() for line in (public_lines or "").splitlines()]
        return cls(
            _canonical(policy, (*policy.numbers.public_numbers, *filter(None, listed)), "public numbers"),
            service_kinds(policy.numbers),
            _canonical(policy, policy.numbers.sensitive_numbers, "sensitive numbers"),
        )

    def kind_of(self, number: Number) -> Literal["org", "service"] | None:
        """What kind of public number it is; None: it is somebody's.

        A sensitive line is a service also where it is the organisation's own: it would be one of few.
        """
        if number.canonical in self.sensitive:
            return "service"
        if number.canonical in self.lines:
            return "org"
        return "service" if number.kind in self.kinds or number.line_type in self.kinds else None


def _canonical(policy: Policy, spellings: Iterable[str], what: str) -> frozenset[str]:
    """The numbers that a list of the policy spells."""
    scheme = scheme_of(policy)
    found = set()
    for place, spelling in enumerate(spellings, start=1):
        number = canonicalise(spelling, policy.numbers.default_region, scheme)
        if isinstance(number, Unparsed) or number.kind == "withheld":
            raise DataError(
                "DPQ-509", f"entry {place} of the {what} is no number", fix="write it with + and country code"
            )
        found.add(number.canonical)
    return frozenset(found)
