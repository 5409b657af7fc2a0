"""The database: its tables, its migrations, and the one thread that writes to it.

SQLite in the data folder unless a URL says otherwise. The stores above (`jobs`, `assets`, `workflows`) hand in
functions that take a connection; each runs inside one transaction, writes one after the other in their own thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from graphflow.errors import DiskFull, GraphflowError

T = TypeVar("T")

HEAD = "0002"
"""The newest migration; a test holds it against the folder."""

metadata = MetaData()

_number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in INTEGER PRIMARY KEY

jobs = Table(
    "jobs",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("client", Text),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("progress", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("error", Text),
    Column("outputs", Text, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("targets", Text),
    Column("workflow", Text, nullable=False),
    Column("extra", Text, nullable=False),
    Column("idempotency_key", String(255), unique=True),
    Column("request_digest", String(64)),
    Column("peak", BigInteger),
    Index("jobs_by_status", "status", "priority", "position"),
)
"""`position` orders the queue within a priority; `extra` is what another door keeps with its jobs."""

events = Table(
    "events",
    metadata,
    Column("job", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("type", String(32), nullable=False),
    Column("data", Text, nullable=False),
)

settings = Table("settings", metadata, Column("name", String(64), primary_key=True), Column("value", Text))

assets = Table(
    "assets",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("name", String(1024), nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("job", String(64)),
    Column("node", Text),
    UniqueConstraint("kind", "name"),
)
"""A file in the data folder's `output`, `input` or `temp`; two files of the same bytes share an id."""

workflows = Table(
    "workflows",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("thumbnail", String(32)),
    Column("digest", String(64), nullable=False, index=True),
)

versions = Table(
    "versions",
    metadata,
    Column("workflow", String(32), ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("document", Text, nullable=False),
)

shares = Table(
    "shares",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("workflow", String(32), ForeignKey("workflows.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("updated", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", Text, nullable=False),
)


class Database:
    """An engine with two thread pools: one thread that writes, a few that read."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writer = ThreadPoolExecutor(1, "database-writer")
        self._readers = ThreadPoolExecutor(2, "database-reader")

    def migrate(self) -> None:
        """Brings the tables to the newest form.

        Raises `GraphflowError` for a database that cannot be used, or that a newer version wrote.
        """
        try:
            self._migrate()
        except DBAPIError as error:
            url = self._engine.url.render_as_string(hide_password=True)
            raise GraphflowError(f"the database {url} cannot be used: {error.orig}") from error

    def _migrate(self) -> None:
        with self._engine.begin() as connection:
            version = _version(connection)
            if version is None and not inspect(connection).get_table_names():
                metadata.create_all(connection)
                connection.execute(CreateTable(_alembic_version))
                connection.execute(insert(_alembic_version).values(version_num=HEAD))
                return
        if version == HEAD:
            return  # Alembic takes as long to import as all the rest
        from alembic import command
        from alembic.util import CommandError

        try:
            command.upgrade(alembic_config(self._engine), "head")
        except CommandError as error:
            url = self._engine.url.render_as_string(hide_password=True)
            raise GraphflowError(
                f"{url} was written by a newer GraphFlow; update GraphFlow, or choose another"
            ) from error

    async def write(self, function: Callable[[Connection], T], *, durable: bool = False) -> T:
        """What `function` returns, once its transaction is committed; `durable`: and has reached the disk.

        Raises `DiskFull` when there is no room; then nothing of it is stored.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._writer, self._transaction, function, durable)
        except DBAPIError as error:
            if _is_full(error):
                raise DiskFull(DiskFull.MESSAGE) from error
            raise

    async def read(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns; it sees what was committed before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self.look, function)

    def close(self) -> None:
        """Waits for what is under way."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    def _transaction(self, function: Callable[[Connection], T], durable: bool) -> T:
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # killed or not, a committed row stays; only a power cut can lose what NORMAL wrote last
                driver: Any = connection.connection.dbapi_connection
                driver.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                driver.execute("BEGIN IMMEDIATE")  # no reader can be promoted in the middle, so no deadlock
            with connection.begin():
                return function(connection)

    def look(self, function: Callable[[Connection], T]) -> T:
        """The same as `read`, for a thread that may wait."""
        with self._engine.connect() as connection:
            return function(connection)


def alembic_config(engine: Engine) -> Any:
    """Where the migrations lie, and on what they work."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = engine
    return config


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `Database` begins them, nowhere else
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 10000")


def _is_full(error: DBAPIError) -> bool:
    """Whether SQLite or PostgreSQL found no room."""
    sqlite, postgres = getattr(error.orig, "sqlite_errorname", ""), getattr(error.orig, "sqlstate", "")
    return sqlite == "SQLITE_FULL" or postgres == "53100"


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(select(_alembic_version.c.version_num)).scalar()


_alembic_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Where Alembic notes the newest migration that was run."""
