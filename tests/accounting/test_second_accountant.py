"""What a ledger says was spent, beside the privacy loss distribution (PLD) of the same releases by dp-accounting.

The ledger's figure is the epsilon that reports show, `budget.spent_epsilon`: the smaller of the sum of pure epsilons
and the epsilon of the summed rho at the cap's delta_conversion. It is claimed at delta = delta_conversion plus the
deltas of the releases, and that is where the PLD is read. dp-accounting brackets the true epsilon from both sides.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.pld.common import DifferentialPrivacyParameters
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import fresh_place, quick_folder

from dpquery import budget
from dpquery.accounting import ATTO, NANO, PICO, Cap, Loss
from dpquery.ledger import ChargeRequest, Grant, Scope
from dpquery.noise.conversion import rho_within
from dpquery.privacy.calibrate import ROUNDING, laplace_loss
from dpquery.privacy.sensitivity import Sensitivity

PLD: TypeAlias = pld.PrivacyLossDistribution
DELTA_RELEASE = 1e-6
CAP = Cap(3000 * NANO, 2 * 10**12, 5 * 10**11, 10**12, 3000 * PICO)
"""Delta 2e-6: half of it to convert rho, a quarter for thresholds. Nothing in these tests reaches it."""
STEP = 1e-4
"""Width of the intervals in which privacy losses are counted."""


@dataclass(frozen=True, slots=True)
class Laplace:
    """Integer noise on `cells` counts that each move by `moves`, of that epsilon over all of them."""

    epsilon: Fraction
    cells: int = 1
    moves: int = 1

    def loss(self) -> Loss:
        cells, moves = self.cells, self.moves
        found = Sensitivity(cells * moves, cells * moves**2, moves)
        return laplace_loss(int(self.epsilon * NANO), found, self.scale)

    @property
    def scale(self) -> float:
        return self.cells * self.moves / float(self.epsilon) * ROUNDING

    def distribution(self, *, pessimistic: bool) -> PLD:
        one = pld.from_discrete_laplace_mechanism(
            1 / self.scale,
            sensitivity=self.moves,
            value_discretization_interval=STEP,
            pessimistic_estimate=pessimistic,
        )
        return one.self_compose(self.cells)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """What `epsilon` buys at the policy's delta of a release."""

    epsilon: Fraction

    def loss(self) -> Loss:
        return Loss.of(None, rho=Fraction(self._rho_pico, PICO))

    @property
    def _rho_pico(self) -> int:
        return math.floor(Fraction(rho_within(float(self.epsilon), DELTA_RELEASE)) * PICO)

    def distribution(self, *, pessimistic: bool) -> PLD:
        return pld.from_gaussian_mechanism(
            1 / math.sqrt(2 * self._rho_pico / PICO),
            value_discretization_interval=STEP,
            pessimistic_estimate=pessimistic,
        )


@dataclass(frozen=True, slots=True)
class Selected:
    """Groups shown by a noisy count: Laplace noise, and everything lost with probability delta."""

    epsilon: Fraction
    delta_atto: int

    def loss(self) -> Loss:
        return Laplace(self.epsilon).loss() + Loss(0, 0, self.delta_atto)

    def distribution(self, *, pessimistic: bool) -> PLD:
        """Of the noise alone where the least is asked for: then the delta that is lost is not there to be used."""
        noise = Laplace(self.epsilon).distribution(pessimistic=pessimistic)
        lost = DifferentialPrivacyParameters(0.0, self.delta_atto / ATTO)
        shown = pld.from_privacy_parameters(lost, value_discretization_interval=STEP)
        return noise.compose(shown) if pessimistic else noise


Release = Laplace | Gaussian | Selected


@functools.lru_cache(maxsize=256)
def distribution(release: Release, pessimistic: bool) -> PLD:
    return release.distribution(pessimistic=pessimistic)


def spent_in_a_ledger(releases: list[Release]) -> Loss:
    """What a ledger that was charged for `releases`, one by one, says was spent."""
    with quick_folder() as folder:
        scopes = [Scope("dataset"), Scope("analyst", "ana")]
        grants = [Grant(scope, "*", CAP, "test", "steward") for scope in scopes]
        with fresh_place(folder).create(grants) as ledger:
            for number, release in enumerate(releases):
                pairs = tuple((scope, "a") for scope in scopes)
                ledger.charge(ChargeRequest(None, f"q{number}", "ana", "p", pairs, release.loss()))
            (spent,) = {balance.spent for balance in ledger.balances()}
    return spent


def bracket(releases: list[tuple[Release, int]], spent: Loss) -> tuple[float, float]:
    """Least and greatest that the true epsilon of these releases can be, at the delta that the ledger claims it for."""
    found = []
    for pessimistic, delta in ((False, CAP.delta_conversion), (True, CAP.delta_conversion + spent.delta)):
        parts = [distribution(release, pessimistic).self_compose(count) for release, count in releases]
        found.append(functools.reduce(PLD.compose, parts).get_epsilon_for_delta(delta / ATTO))
    return found[0], found[1]


epsilons = st.sampled_from([Fraction(n, 100) for n in (1, 5, 10, 20, 50, 100)])
laplaces = st.builds(Laplace, epsilons, st.sampled_from([1, 4]), st.sampled_from([1, 2, 20]))
gaussians = st.builds(Gaussian, epsilons)
selected = st.builds(Selected, epsilons, st.sampled_from([10**8, 10**10]))


@pytest.mark.parametrize(
    "releases",
    [laplaces, gaussians, laplaces | gaussians, laplaces | gaussians | selected],
    ids=["laplace", "gaussian", "both", "with thresholds"],
)
def test_the_ledger_never_says_less_than_was_lost(releases: st.SearchStrategy[Release]) -> None:
    @settings(max_examples=12, deadline=None, database=None)
    @given(st.lists(releases, min_size=1, max_size=12))
    def check(sequence: list[Release]) -> None:
        spent = spent_in_a_ledger(sequence)
        low, high = bracket([(release, 1) for release in sequence], spent)
        parts = sum(release.cells if isinstance(release, Laplace) else 1 for release in sequence)
        assert high - low <= 0.02 * high + STEP * (parts + 1), "the bracket is as narrow as its steps"
        assert low <= budget.spent_epsilon(CAP, spent, DELTA_RELEASE)

    check()


@pytest.mark.parametrize(
    "release",
    [
        *(Gaussian(Fraction(n, 100)) for n in (5, 20, 100)),
        *(Laplace(Fraction(n, 100), moves=moves) for n, moves in ((5, 1), (20, 50), (50, 1), (50, 50))),
        *(Laplace(Fraction(epsilon), moves=moves) for epsilon, moves in ((1, 1), (1, 2), (1, 50), (2, 20))),
        Laplace(Fraction(1, 2), cells=4, moves=5),
    ],
    ids=str,
)
def test_the_ledger_says_little_more_than_was_lost(release: Release) -> None:
    """Equal releases: within 22 %, and within 13 % from 200 on."""
    one, spent = release.loss(), Loss(0, 0, 0)
    for count in range(1, 1001):
        spent = spent + one
        if count in {1, 2, 5, 20, 50, 100, 200, 500, 1000}:
            low, high = bracket([(release, count)], spent)
            shown = budget.spent_epsilon(CAP, spent, DELTA_RELEASE)
            assert low <= shown
            assert shown <= (1.13 if count >= 200 else 1.22) * high, count


def test_a_ledger_that_forgets_a_release_is_found_out() -> None:
    """The comparison has the power to tell: seven of nine Gaussians are not enough."""
    sequence: list[Release] = [Gaussian(Fraction(1, 2))] * 9
    low, _ = bracket([(sequence[0], 9)], spent_in_a_ledger(sequence))
    assert low > budget.spent_epsilon(CAP, spent_in_a_ledger(sequence[:7]), DELTA_RELEASE)
