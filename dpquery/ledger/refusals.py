"""Why a budget does not allow a charge, in words that show nobody else's spending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dpquery.accounting import (
    ATTO_DIGITS,
    NANO_DIGITS,
    PICO_DIGITS,
    Filters,
    Fitting,
    admits,
    exact_text,
    filters,
    largest_that_fits,
    shown_left,
)
from dpquery.errors import BudgetRefused
from dpquery.ledger.scopes import Pair, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpquery.accounting import Cap, Loss
    from dpquery.ledger.grants import Caps


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A scope and block that a charge does not fit."""

    pair: Pair
    why: Literal["over", "ungranted", "closed"]
    cap: Cap | None
    spent: Loss


@dataclass(frozen=True, slots=True)
class ScopeLeft:
    """What the asker's own scope has left in one block."""

    scope: Scope
    block: str
    left: Filters
    fits: Fitting


class OverBudget(BudgetRefused):
    """DPQ-201. Amounts are shown for the asker's own scope only; a shared cap just does not allow it."""

    def __init__(self, requested: Loss, own: tuple[ScopeLeft, ...], *, shared: bool) -> None:
        self.requested = requested
        self.left = own
        """The asker's own scope in the blocks where it does not fit; empty where only shared caps bind."""
        self.shared = shared
        """A cap that the asker shares with others does not allow it."""
        self.fits: Fitting | None = None
        """The largest loss that the asker's own scope still takes; None where a shared cap binds."""
        if own and not shared:
            self.fits = Fitting(min(each.fits.epsilon for each in own), min(each.fits.rho for each in own))
        super().__init__("DPQ-201", " ".join(self._sentences()), fix=self._cure())

    def _sentences(self) -> Iterable[str]:
        asked = f"epsilon {exact_text(self.requested.epsilon, NANO_DIGITS)}"
        if self.requested.epsilon is None:
            asked = f"rho {exact_text(self.requested.rho, PICO_DIGITS)}"
        for each in self.left:
            pure = shown_left(each.left.pure.left, NANO_DIGITS)
            rho = shown_left(each.left.zcdp.left, PICO_DIGITS)
            yield (
                f"{asked} does not fit the budget of {each.scope} in block {each.block}: "
                f"{pure} epsilon, or {rho} rho, are left."
            )
        if self.shared:
            yield f"{asked} does not fit: a cap shared with other analysts does not allow it."

    def _cure(self) -> str:
        if self.fits is not None and self.fits.epsilon > 0:
            return f"ask for less: a pure epsilon of {shown_left(self.fits.epsilon, NANO_DIGITS)} still fits"
        return "ask for less, or ask the steward"


class NoBudget(BudgetRefused):
    """DPQ-202. A scope was never granted a budget in this block, or was closed there."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self.pairs = pairs
        names = ", ".join(f"{scope} (block {block})" for scope, block in pairs)
        super().__init__(
            "DPQ-202",
            f"no budget is open for {names}",
            fix=f"ask the steward for a budget for {pairs[0][0]}",
        )


class RequestIdTaken(BudgetRefused):
    """DPQ-203. The asker has used this request id for something else."""

    def __init__(self) -> None:
        super().__init__("DPQ-203", "this request id belongs to another request of yours", fix="use a new request id")


class RequestSpent(BudgetRefused):
    """DPQ-205. The charge of this request is final, and its attempts at an answer are used up."""

    def __init__(self) -> None:
        super().__init__(
            "DPQ-205",
            "this request was charged, and failed twice; it gets no third attempt",
            fix="use a new request id: that is a new charge",
        )


class CapAboveCeiling(BudgetRefused):
    """DPQ-206. A scope's first cap is the limit that its privacy filter was built with; later caps stay within it."""

    def __init__(self, scope: Scope, block: str, ceiling: Cap) -> None:
        self.ceiling = ceiling
        super().__init__(
            "DPQ-206",
            f"the ceiling of {scope} in block {block} was fixed by its first grant at {_amounts(ceiling)}",
            fix="grant no more than the ceiling; it cannot be moved",
        )


class CapNotRaised(BudgetRefused):
    """DPQ-207. A raise gives more than the cap in force, and takes nothing away."""

    def __init__(self, scope: Scope, block: str, in_force: Cap | None) -> None:
        self.in_force = in_force
        there = f"{scope} in block {block}"
        if in_force is None:
            super().__init__("DPQ-207", f"{there} has no cap to be raised", fix="dpquery grant gives it one")
            return
        super().__init__(
            "DPQ-207",
            f"the cap of {there} is {_amounts(in_force)}, and a raise must go above it",
            fix="more epsilon or delta, and less of neither; dpquery grant sets any cap",
        )


def _amounts(cap: Cap) -> str:
    return f"epsilon {exact_text(cap.epsilon, NANO_DIGITS)} and delta {exact_text(cap.delta, ATTO_DIGITS)}"


def obstacles(caps: Caps, spent: Mapping[Pair, Loss], pairs: Iterable[Pair], loss: Loss) -> tuple[Obstacle, ...]:
    """Which of `pairs` do not take `loss`; none of it depends on anything but grants and charges."""
    found: list[Obstacle] = []
    for pair in pairs:
        scope, block = pair
        cap = caps.cap(scope, block)
        if not caps.is_open(scope, block):
            found.append(Obstacle(pair, "ungranted" if cap is None else "closed", cap, spent[pair]))
        elif cap is not None and not admits(cap, spent[pair], loss):
            found.append(Obstacle(pair, "over", cap, spent[pair]))
    return tuple(found)


def refusal(found: tuple[Obstacle, ...], asker: str, requested: Loss) -> BudgetRefused:
    """The error that tells `asker` about obstacles; the first kind that applies, since both have the same cure."""
    missing = tuple(each.pair for each in found if each.why != "over")
    if missing:
        return NoBudget(missing)
    own_scope = Scope("analyst", asker)
    own = tuple(
        ScopeLeft(own_scope, each.pair[1], filters(each.cap, each.spent), largest_that_fits(each.cap, each.spent))
        for each in found
        if each.pair[0] == own_scope and each.cap is not None
    )
    return OverBudget(requested, own, shared=any(each.pair[0] != own_scope for each in found))
