"""A release as a file that carries its price and promise. Files are whole or absent, and replaced only when told to."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dpquery import arguments
from dpquery.errors import UsageError
from dpquery.faces import html

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dpquery.faces.shown import Shown

ENDINGS = (".parquet", ".csv", ".html", ".json")


def save(shown: Shown, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write `shown` to `path` in the form that its ending names; returns the path.

    `.parquet` keeps price and promise in the schema's metadata, under `dpquery`. `.csv` is plain, with the document
    beside it in `<path>.json`. `.html` is one page with nothing to load. `.json` is the document.

    Raises UsageError for another ending, a file that exists (unless `overwrite`), or a path that cannot be written.
    """
    aim = arguments.path(path, "a file", example='release.save("release.parquet")')
    overwrite = arguments.flag(overwrite, "overwrite")
    files = _files(shown, aim)
    if not overwrite:
        for file in files:
            check_absent(file)
    write_whole(files, overwrite=overwrite)
    return aim


def check_absent(file: Path) -> None:
    """UsageError if there is something at `file`."""
    if file.exists() or file.is_symlink():
        raise UsageError("DPQ-002", f"{file} exists", fix="name another, or overwrite=True")


def write_whole(files: Mapping[Path, bytes], *, overwrite: bool) -> None:
    """Write each file, all of it or nothing; UsageError where the system does not let it be written."""
    try:
        for file, content in files.items():
            _write(file, content, overwrite=overwrite)
    except OSError as error:
        named = next(iter(files))
        raise UsageError(
            "DPQ-002", f"{named} cannot be written: {error.strerror}", fix="name a file in a folder you can write to"
        ) from None


def _files(shown: Shown, aim: Path) -> dict[Path, bytes]:
    """What is to be written where; what others describe comes after its description."""
    match aim.suffix.lower():
        case ".parquet":
            return {aim: _parquet(shown)}
        case ".csv":
            return {aim.with_name(aim.name + ".json"): _document(shown, rows=False), aim: _csv(shown)}
        case ".html":
            return {aim: html.page(shown.sheet(), shown.document().model_dump_json(by_alias=True)).encode()}
        case ".json":
            return {aim: _document(shown, rows=True)}
        case _:
            raise UsageError(
                "DPQ-002", f"files end in {', '.join(ENDINGS)}, not {aim.suffix or 'nothing'}", fix="release.parquet"
            )


def _document(shown: Shown, *, rows: bool) -> bytes:
    left_out = None if rows else {"rows"}
    return (shown.document().model_dump_json(by_alias=True, exclude=left_out, indent=2) + "\n").encode()


def _parquet(shown: Shown) -> bytes:
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(shown.to_arrow(), written, compression="zstd")
    return written.getvalue()


def _csv(shown: Shown) -> bytes:
    """RFC 4180 in UTF-8; NULL is empty, times are UTC without a zone, as spreadsheets and frames read them.

    A byte order mark stands in front only if a text needs it: without one Excel garbles it; other readers skip it.
    """
    sheet = shown.sheet()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(name for name, _, _ in sheet.flat())
    writer.writerows([_csv_value(value) for value in row.values()] for row in sheet.rows())
    written = text.getvalue()
    return written.encode("utf-8" if written.isascii() else "utf-8-sig")


def _csv_value(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else value


def _write(file: Path, content: bytes, *, overwrite: bool) -> None:
    """All of `content` or nothing, also if the machine stops here."""
    with _temporary(file) as part:
        # Mode as the user's umask has it: what is saved is meant to be handed on.
        with part.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if overwrite:
            part.replace(file)
            return
        try:
            os.link(part, file)  # unlike a rename, this fails where somebody has put a file meanwhile
        except FileExistsError:
            check_absent(file)
            raise
        except OSError:  # no hard links on this file system
            check_absent(file)
            part.replace(file)


@contextlib.contextmanager
def _temporary(file: Path) -> Iterator[Path]:
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
