"""JSON Schemas of the documents that commands print, as files beside this one."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent


def write_all(folder: Path = FOLDER) -> None:
    """Write the schema of each document; `python -m dpquery.schemas` renews the shipped ones."""
    from dpquery.documents import DOCUMENTS

    for name, document in DOCUMENTS.items():
        schema = document.model_json_schema(by_alias=True, mode="serialization")
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
