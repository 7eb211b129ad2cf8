"""What is left under a cap, as people ask for it: the largest next release, and how many like the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.accounting.admission import filters

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.accounting.cap import Cap
    from dpquery.accounting.loss import Loss


def epsilon_left(cap: Cap, spent: Loss, epsilon_of_rho: Callable[[int], int]) -> int:
    """Nano-epsilon of the largest single release that still fits; `epsilon_of_rho` describes a Gaussian's pico-rho."""
    state = filters(cap, spent)
    return max(state.pure.left, epsilon_of_rho(state.zcdp.left) if state.zcdp.left else 0)


def repeats_left(cap: Cap, spent: Loss, like: Loss) -> int:
    """How many more releases with the loss `like` are admitted."""
    state = filters(cap, spent)
    counts = [0]
    if like.epsilon:
        counts.append(state.pure.left // like.epsilon)
    if like.rho:
        counts.append(state.zcdp.left // like.rho)
    most = max(counts)
    return min(most, state.delta_left // like.delta) if like.delta else most
