"""The few OpenDP constructors this program may use: integer noise on vectors, selection, and two maps.

OpenDP 0.16 has open faults in its variance, tree and dataframe constructors, which are not named here, and in its
threshold mechanisms, of which only the maps are (they are right for counts strictly above the threshold; the mechanisms
release those equal to it too, opendp issue 2922). No other module imports opendp.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import opendp.combinators as combinators  # noqa: PLR0402 - opendp exposes no names to import from
import opendp.domains as domains  # noqa: PLR0402
import opendp.measurements as measurements  # noqa: PLR0402
import opendp.measures as measures  # noqa: PLR0402
import opendp.metrics as metrics  # noqa: PLR0402
import opendp.mod as mod  # noqa: PLR0402

from dpquery.errors import ensure

MechanismName = Literal["laplace", "gaussian"]
SelectionName = Literal["permute-and-flip", "exponential"]

mod.enable_features("contrib")


def integer_noise(mechanism: MechanismName, scale: float) -> Any:
    """A measurement that adds discrete noise of `scale` to each element of an int64 vector.

    Its input distance is the L1 sensitivity for Laplace (loss: epsilon) and the L2 sensitivity for Gaussian (loss:
    rho of zero-concentrated privacy); Canonne, Kamath, Steinke, "The Discrete Gaussian", NeurIPS 2020.
    """
    ensure(0.0 < scale < 2.0**60, "a noise scale is positive and leaves room in 64 bits")
    domain = domains.vector_domain(domains.atom_domain(T="i64"))
    if mechanism == "laplace":
        return measurements.make_laplace(domain, metrics.l1_distance(T="f64"), scale=scale)
    return measurements.make_gaussian(domain, metrics.l2_distance(T="f64"), scale=scale)


def least_score(mechanism: SelectionName, scale: float) -> Any:
    """A measurement that selects the place of a low score in an int64 vector.

    Its input distance d is the most that any score moves. Permute-and-flip (McKenna, Sheldon, NeurIPS 2020): epsilon =
    2 d / scale. Exponential mechanism: rho = d^2 / (2 scale^2) (Cesar, Rogers, ALT 2021, by its bounded range).
    """
    ensure(0.0 < scale < 2.0**60, "a scale is positive")
    domain = domains.vector_domain(domains.atom_domain(T="i64"))
    measure = measures.max_divergence() if mechanism == "permute-and-flip" else measures.zero_concentrated_divergence()
    return measurements.make_noisy_max(domain, metrics.linf_distance(T="i64"), measure, scale=scale, negate=True)


def threshold_delta(mechanism: MechanismName, scale: float, groups: int, threshold: int) -> float:
    """Delta that OpenDP's map gives for noisy counts above `threshold`, `groups` of them changed by at most 1 each."""
    counts = domains.map_domain(domains.atom_domain(T="i64"), domains.atom_domain(T="i64"))
    if mechanism == "laplace":
        metric = metrics.l01inf_distance(metrics.absolute_distance(T="i64"))
        laplace: Any = measurements.make_laplace_threshold(counts, metric, scale=scale, threshold=threshold)
        return float(laplace.map((groups, groups, 1))[1])
    metric = metrics.l02inf_distance(metrics.absolute_distance(T="f64"))
    gaussian: Any = measurements.make_gaussian_threshold(counts, metric, scale=scale, threshold=threshold)
    return float(gaussian.map((groups, math.sqrt(groups) * (1.0 + 2.0**-40), 1.0))[1])


@functools.cache
def gaussian_curve() -> Any:
    """A unit Gaussian whose map gives the privacy profile of rho = d^2 / 2."""
    gaussian = measurements.make_gaussian(domains.atom_domain(T="i64"), metrics.absolute_distance(T="f64"), scale=1.0)
    return combinators.make_zCDP_to_approxDP(gaussian)
