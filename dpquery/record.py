"""The bytes of a release as the ledger keeps them: noisy integers in canonical order, with the scales they carry."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from dpquery.accounting import Loss
from dpquery.errors import LedgerError, broken, ensure
from dpquery.plan.keys import in_order
from dpquery.privacy.calibrate import Selection
from dpquery.privacy.question import canonical_keys, from_canonical_order, measurement_id, to_canonical_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.plan.expressions import Constant, ValueType
    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan

FORMAT = "dpquery.record/1"


def pack(plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]]) -> bytes:
    """Noisy arrays (cells, width), one per part of `plan`, as bytes; only the order of selected groups is its own."""
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
    body: dict[str, Any] = {
        "schema": FORMAT,
        "asked_epsilon": plan.asked_epsilon,
        "delta_release": plan.delta_release.hex(),
        "parts": parts,
    }
    if plan.selection is not None:
        body["selection"] = {"threshold": plan.selection.threshold, "groups": _groups_to_text(plan)}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(payload: bytes, plan: PrivacyPlan) -> tuple[PrivacyPlan, tuple[NDArray[np.int64], ...]]:
    """The stored noisy arrays in the order of `plan`, and the plan with the scales and losses they were made with."""
    try:
        body = json.loads(payload)
        ensure(body["schema"] == FORMAT, "a stored release has a known format")
        if plan.bounded.logical.selects_groups:
            plan = _with_groups(plan, body["selection"])
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
    except (LookupError, ValueError, TypeError) as error:
        raise LedgerError("DPQ-802", "a stored release cannot be read back", fix="dpquery ledger verify DIR") from error
    stored = replace(
        plan,
        parts=tuple(parts),
        mechanism="gaussian" if parts[0].loss.epsilon is None else "laplace",
        asked_epsilon=body["asked_epsilon"],
        delta_release=delta_release,
    )
    return _in_own_order(stored, tuple(arrays))


def _groups_to_text(plan: PrivacyPlan) -> list[list[Any]]:
    """Each selected group, its values in the canonical order of keys; dates and times as ISO text."""
    groups = plan.bounded.logical.groups
    if groups is None:
        broken("groups are stored once they are selected")
    order = canonical_keys(plan)
    return [[_to_json(group[i]) for i in order] for group in groups]


def _to_json(value: Constant) -> str | int | float | bool | None:
    return value.isoformat() if isinstance(value, date) else value


def _with_groups(plan: PrivacyPlan, selection: dict[str, Any]) -> PrivacyPlan:
    """The plan with the stored threshold and groups, the values in the order in which it names its keys."""
    logical = plan.bounded.logical
    order = canonical_keys(plan)
    back = [order.index(i) for i in range(len(logical.keys))]
    groups = tuple(
        tuple(_from_json(group[back[i]], key.type) for i, key in enumerate(logical.keys))
        for group in selection["groups"]
    )
    bounded = replace(plan.bounded, logical=replace(logical, groups=groups))
    return replace(plan, bounded=bounded, selection=Selection(int(selection["threshold"])))


def _from_json(value: Any, kind: ValueType) -> Constant:
    match kind:
        case "timestamp" if value is not None:
            return datetime.fromisoformat(value)
        case "date" if value is not None:
            return date.fromisoformat(value)
        case _:
            found: Constant = value
            return found


def _in_own_order(
    plan: PrivacyPlan, arrays: tuple[NDArray[np.int64], ...]
) -> tuple[PrivacyPlan, tuple[NDArray[np.int64], ...]]:
    """Selected groups in the order in which the plan names its keys, whoever asked first."""
    logical = plan.bounded.logical
    if logical.groups is None:
        return plan, arrays
    groups = in_order(logical.keys, logical.groups)
    places = {group: i for i, group in enumerate(logical.groups)}
    moved = np.array([places[group] for group in groups], np.int64)
    bounded = replace(plan.bounded, logical=replace(logical, groups=groups))
    return replace(plan, bounded=bounded), tuple(values[moved] for values in arrays)
