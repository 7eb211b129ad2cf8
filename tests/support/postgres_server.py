"""A real PostgreSQL server for tests: found on the machine, or unpacked from a wheel; started here, never a mock."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
"""PostgreSQL refuses to run as root."""


def binaries() -> Path | None:
    """The folder with initdb and postgres: the one that DPQUERY_TEST_POSTGRES names, Debian's, or one on PATH."""
    named = os.environ.get("DPQUERY_TEST_POSTGRES")
    if named:
        return Path(named)
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if installed:
        return installed[0].parent
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


def as_another_user() -> dict[str, Any]:
    """How a process is started that may not be root's."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@dataclass(frozen=True)
class Server:
    """A server on a socket of its own. Each schema of its one database may hold a ledger."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def fresh_url(self) -> str:
        """The URL of a new, empty schema."""
        name = f"t{uuid.uuid4().hex}"
        self.run(f"CREATE SCHEMA {name}")
        return f"{self.url}&options=-csearch_path%3D{name}"

    def end_connections(self) -> None:
        """Cut every connection that dpquery has, as if its processes were gone."""
        self.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dpquery'")

    def run(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """A statement on a connection of its own, past all that dpquery does."""
        import psycopg

        with psycopg.connect(url or self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return [] if cursor.description is None else cursor.fetchall()


@functools.cache
def server(*options: str) -> Server:
    """The server of this test process, started once; the test is skipped, with the reason, where there is none."""
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL: initdb is not on this machine, and DPQUERY_TEST_POSTGRES names no folder with it")
    base = next(place for place in (Path("/dev/shm"), Path("/tmp")) if place.is_dir())  # noqa: S108
    home = Path(tempfile.mkdtemp(prefix="dpq-pg-", dir=base))  # a killed process loses nothing that is in memory
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
    made = subprocess.run(
        [folder / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
        capture_output=True,
        check=False,
        **as_another_user(),
    )
    assert made.returncode == 0, made.stderr.decode()
    settings = ["listen_addresses=", f"unix_socket_directories={home}", "max_connections=60", "shared_buffers=32MB"]
    arguments = [argument for setting in (*settings, *options) for argument in ("-c", setting)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [folder / "postgres", "-D", home / "data", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            **as_another_user(),
        )
    atexit.register(_stop, os.getpid(), process, home)
    found = Server(home, process)
    _wait_for(found)
    return found


def _wait_for(started: Server) -> None:
    import psycopg

    until = time.monotonic() + 60
    while True:
        try:
            started.run("SELECT 1")
        except psycopg.OperationalError:
            assert started.process.poll() is None, (started.folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL did not start within a minute"
            time.sleep(0.05)
        else:
            return


def _stop(owner: int, process: subprocess.Popen[bytes], home: Path) -> None:
    """At the end of the process that started it; not of one that was forked from it."""
    if os.getpid() == owner:
        process.send_signal(signal.SIGINT)  # at once, whoever is still connected
        process.wait(timeout=60)
        shutil.rmtree(home, ignore_errors=True)
