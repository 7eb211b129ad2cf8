"""The bytes of a release as the ledger keeps them: noisy integers in canonical order, with the scales they carry."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dpquery.accounting import Loss
from dpquery.errors import LedgerError, ensure
from dpquery.privacy.question import from_canonical_order, measurement_id, to_canonical_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan

FORMAT = "dpquery.record/1"


def pack(plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]]) -> bytes:
    """Noisy arrays (cells, width), one per part of `plan`, as bytes that do not depend on its spelling."""
    parts = {
        measurement_id(part.measurement): {
            "mechanism": part.mechanism,
            "scale": part.scale.hex(),
            "epsilon": part.loss.epsilon,
            "rho": part.loss.rho,
            "delta": part.loss.delta,
            "width": part.measurement.width,
            "values": base64.b64encode(to_canonical_order(plan, values).astype("<i8").tobytes()).decode("ascii"),
        }
        for part, values in zip(plan.parts, noisy, strict=True)
    }
    body = {
        "schema": FORMAT,
        "asked_epsilon": plan.asked_epsilon,
        "delta_release": plan.delta_release.hex(),
        "parts": parts,
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(payload: bytes, plan: PrivacyPlan) -> tuple[PrivacyPlan, tuple[NDArray[np.int64], ...]]:
    """The stored noisy arrays in the order of `plan`, and the plan with the scales and losses they were made with."""
    try:
        body = json.loads(payload)
        ensure(body["schema"] == FORMAT, "a stored release has a known format")
        parts: list[CalibratedMeasurement] = []
        arrays: list[NDArray[np.int64]] = []
        for part in plan.parts:
            kept = body["parts"][measurement_id(part.measurement)]
            values = np.frombuffer(base64.b64decode(kept["values"]), dtype="<i8").astype(np.int64)
            arrays.append(from_canonical_order(plan, values.reshape(-1, kept["width"])))
            loss = Loss(epsilon=kept["epsilon"], rho=kept["rho"], delta=kept["delta"])
            scale = float.fromhex(kept["scale"])
            parts.append(replace(part, mechanism=kept["mechanism"], scale=scale, loss=loss))
        delta_release = float.fromhex(body["delta_release"])
    except (KeyError, ValueError, TypeError) as error:
        raise LedgerError("DPQ-802", "a stored release cannot be read back", fix="dpquery ledger verify DIR") from error
    stored = replace(
        plan,
        parts=tuple(parts),
        mechanism=parts[0].mechanism,
        asked_epsilon=body["asked_epsilon"],
        delta_release=delta_release,
    )
    return stored, tuple(arrays)
