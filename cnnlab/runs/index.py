"""The list of all runs in SQLite, so that nobody has to look into every folder.

It holds nothing that the folders do not: where it is lost or damaged, it is made anew from them. Each use opens the
file, and closes it after one short transaction, so any number of threads and processes may share it.

SQLite notices when its own structure is damaged, but not when the text of a row is; therefore rows have checksums.
"""

import errno
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from cnnlab.errors import ResourceExhausted

Row = tuple[str, str, float, bool, str, str]
"""What the list says of a run: id, owner, time of creation, whether it is published, run.json, configuration."""

T = TypeVar("T")

_PATIENCE_S = 10.0  # for others to end their transactions
_VERSION = 1
_TABLE = """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, owner TEXT, created REAL, is_published INTEGER, kept TEXT, config TEXT, checksum INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX of_owner ON runs (owner, created);
    CREATE INDEX published ON runs (created) WHERE is_published;
"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}

# Two threads must not find the list damaged and make it anew at the same time.
_making = threading.RLock()


class Index:
    """The list in one file.

    Args:
        path: Of the file; its folder is there.
        rows: Says it all again from the run folders.
    """

    def __init__(self, path: Path, rows: Callable[[], Iterable[Row]]) -> None:
        self._path = path
        self._rows = rows

    def rows(self, clauses: str = "", values: tuple[Any, ...] = ()) -> list[Row]:
        """The runs that are listed.

        Args:
            clauses: Which of them, and in which order: "WHERE owner = ? ORDER BY created".
            values: For the question marks.

        Raises:
            OSError: The disk has something against it.
            ResourceExhausted: Other programs do not let go of the file.
        """
        return self._attempt(lambda connection: rows_in(connection, clauses, values))

    def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Do something while no other thread or process does the like.

        Args:
            change: May be called once more, after the list has been made anew.

        Raises:
            OSError: As `rows`.
            ResourceExhausted: Likewise.
        """

        def in_turn(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            result = change(connection)
            connection.execute("COMMIT")  # else closing undoes it all
            return result

        return self._attempt(in_turn)

    def fill(self) -> None:
        """Make the list say what the folders say."""
        self.write(self._fill)

    def _fill(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM runs")
        for row in self._rows():
            put(connection, row)

    def _attempt(self, use: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                return self._use(use)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
            self._discard_if_damaged()
            return self._use(use)
        except sqlite3.DatabaseError as error:
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise ResourceExhausted(
                    f"The list of runs has been in use by others for {_PATIENCE_S:g} s. Try again in a moment."
                ) from error
            raise OSError(_ERRNO.get(_code(error), errno.EIO), f"the list of runs: {error}") from error

    def _use(self, use: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(self._path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
            # Damaged text is found by its checksum, not while it is decoded.
            connection.text_factory = lambda text: text.decode(errors="replace")
            # A list that the last second is missing from after a power failure is as good as one that is lost.
            connection.execute("PRAGMA synchronous = NORMAL")
            if _version(connection) != _VERSION:
                self._make(connection)
            return use(connection)

    def _make(self, connection: sqlite3.Connection) -> None:
        with _making:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            if _version(connection) != _VERSION:  # nobody else was quicker
                connection.execute("DROP TABLE IF EXISTS runs")
                for statement in _TABLE.split(";"):
                    connection.execute(statement)
                self._fill(connection)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")

    def _discard_if_damaged(self) -> None:
        with _making:
            try:
                with closing(sqlite3.connect(self._path, timeout=_PATIENCE_S)) as connection:
                    connection.text_factory = lambda text: text.decode(errors="replace")
                    rows_in(connection)
                    if connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]:
                        return  # another thread has made it anew
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
            for ending in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def put(connection: sqlite3.Connection, row: Row) -> None:
    """Say this of a run, whatever was said of it before."""
    connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _checksum(row)))


class _RowDamaged(sqlite3.DatabaseError):
    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def rows_in(connection: sqlite3.Connection, clauses: str = "", values: tuple[Any, ...] = ()) -> list[Row]:
    """As `Index.rows`, within a change."""
    rows = []
    for *said, checksum in connection.execute(f"SELECT * FROM runs {clauses}", values):  # noqa: S608  No user's words.
        run, owner, created, is_published, kept, config = said
        row = (run, owner, created, bool(is_published), kept, config)
        if _checksum(row) != checksum:
            raise _RowDamaged(f"the row of {run}")
        rows.append(row)
    return rows


def _checksum(row: Row) -> int:
    return zlib.crc32(repr(row).encode(errors="replace"))


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _code(error: sqlite3.DatabaseError) -> int:
    # The lower byte; the rest tells finer.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
