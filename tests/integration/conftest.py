"""Fixtures of the integration tests: a private ottla and a private PostgreSQL; see tests/lib."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import postgres as pg          # noqa: E402
from lib.ottla import Ottla             # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out under sanitizers")


@pytest.fixture(scope="module")
def ottla():
    """One broker for the tests of a file."""
    with Ottla() as running:
        yield running


@pytest.fixture
def fresh_ottla():
    """A function that starts a broker of the test's own: fresh_ottla(overrides)."""
    started = []

    def start(overrides=None, **more):
        started.append(Ottla(overrides, **more))
        return started[-1]
    yield start
    for running in started:
        if running.process and running.process.poll() is None:
            running.stop()
        running.remove()


@pytest.fixture(scope="module")
def postgres():
    """One PostgreSQL 15 with wal_level=logical for the tests of a file."""
    with pg.Postgres() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _leave_nothing():
    yield
    pg.remove_templates()


@pytest.fixture
def database(postgres, request):
    """The name of a new, empty database of the test's own; also the name of its slot."""
    name = "db_" + "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[:50]
    postgres.psql('create database "%s"' % name)
    return name


@pytest.fixture
def connector(postgres, database):
    """A function that makes a configuration of the PostgreSQL connector for `database`: connector(PREFIX, slot__name=...)."""
    def make(prefix="p", **more):
        config = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
            "database.hostname": postgres.host, "database.port": str(postgres.port), "database.user": "postgres",
            "database.password": "postgrespw", "database.dbname": database, "topic.prefix": prefix, "plugin.name": "pgoutput",
            "slot.name": database,
        }
        config.update({name.replace("__", "."): value for name, value in more.items()})
        return config
    return make
