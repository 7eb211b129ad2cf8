"""dpquery: private, priced answers over phone-keyed call data.

    db = dpquery.connect("store", analyst="ana", purpose="network_planning")
    query = db.sql("SELECT COUNT(*) FROM calls")
    print(query.preview(epsilon=0.5))     # free
    release = query.run(epsilon=0.5)      # spends

Names are loaded when first used, so that importing the package costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpquery.errors import DpqueryError as DpqueryError
    from dpquery.release import Release as Release
    from dpquery.session import Query as Query
    from dpquery.session import Session as Session
    from dpquery.session import connect as connect
    from dpquery.stewardship import Steward as Steward
    from dpquery.stewardship import init as init
    from dpquery.stewardship import steward as steward
    from dpquery.tools.magic import load_ipython_extension as load_ipython_extension

__version__ = "0.1.0"

_HOMES = {
    "DpqueryError": "dpquery.errors",
    "Query": "dpquery.session",
    "Release": "dpquery.release",
    "Session": "dpquery.session",
    "Steward": "dpquery.stewardship",
    "connect": "dpquery.session",
    "init": "dpquery.stewardship",
    "load_ipython_extension": "dpquery.tools.magic",  # IPython's name for what %load_ext calls
    "steward": "dpquery.stewardship",
}

__all__ = ["DpqueryError", "Query", "Release", "Session", "Steward", "__version__", "connect", "init", "steward"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
