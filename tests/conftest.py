"""Fixtures: a broker for the whole run, brokers of a test's own, clients, unique names, tables."""

import resource
import uuid

import pytest

from .support import broker as brokers
from .support.client import Client
from .support.command import Program, suite_command
from .support.mqttjs import MqttJs
from .support.table import markdown

TABLES = pytest.StashKey()


def pytest_addoption(parser):
    group = parser.getgroup("ternmq")
    group.addoption("--broker", choices=("ternmq", "mosquitto"), default="ternmq", help="the broker under test")
    group.addoption("--shards", type=int, default=4, help="shards of the broker that the tests share (default 4)")
    group.addoption("--attack", choices=("short", "full"), default="short", help="length of the attack")
    group.addoption("--fleet-hours", type=float, default=1.0, help="hours of fleet traffic (default 1)")


def pytest_configure(config):
    config.stash[TABLES] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))


def pytest_collection_modifyitems(config, items):
    mosquitto = config.getoption("--broker") == "mosquitto"
    full = config.getoption("--attack") == "full"
    for item in items:
        marker = item.get_closest_marker("ternmq_only")
        if marker and mosquitto:
            item.add_marker(pytest.mark.skip(reason=f"TernMQ only: {marker.args[0]}"))
        if item.get_closest_marker("full_attack") and not full:
            item.add_marker(pytest.mark.skip(reason="the full attack takes minutes: --attack full"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails shows the end of its brokers' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("broker", "start_broker"):
            for it in getattr(item.funcargs.get(name), "all", None) or [item.funcargs.get(name)]:
                if isinstance(it, brokers.Broker) and it.log.stat().st_size:
                    report.sections.append((f"log of {it.kind} on port {it.port}", it.log_tail()))


def pytest_terminal_summary(terminalreporter, config):
    for title, text in config.stash[TABLES]:
        terminalreporter.write_sep("-", title)
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def kind(pytestconfig):
    kind = pytestconfig.getoption("--broker")
    if kind == "ternmq" and brokers.ternmq_binary() is None:
        pytest.exit("no broker: run tests/run.py, or set TERNMQ_BIN", returncode=2)
    return kind


@pytest.fixture(scope="session")
def broker(kind, pytestconfig, tmp_path_factory):
    """The broker that most tests share: default settings, several shards."""
    directory = tmp_path_factory.mktemp("broker")
    if kind == "ternmq":
        shards = pytestconfig.getoption("--shards")
        running = brokers.start_ternmq(directory, shards=shards, settings=["sys.interval=1s"])
    else:
        running = brokers.start_mosquitto(directory)
    yield running
    assert running.process.poll() is None, f"the broker did not live to the end\n{running.log_tail()}"
    running.assert_ended_well(running.stop())


class BrokerFactory:
    """Starts brokers for one test; those still running at its end are stopped and must end well."""

    def __init__(self, kind, tmp_path):
        self.kind, self.tmp_path, self.all = kind, tmp_path, []

    def __call__(self, mosquitto=None, **options):
        """`options` are start_ternmq's; `mosquitto` holds start_mosquitto's."""
        directory = self.tmp_path / f"broker{len(self.all)}"
        directory.mkdir()
        if self.kind == "ternmq":
            running = brokers.start_ternmq(directory, **options)
        else:
            running = brokers.start_mosquitto(directory, **(mosquitto or {}))
        self.all.append(running)
        return running


@pytest.fixture
def start_broker(kind, tmp_path):
    factory = BrokerFactory(kind, tmp_path)
    yield factory
    for running in factory.all:
        if running.process.poll() is None:
            running.assert_ended_well(running.stop())
        running.kill()


@pytest.fixture
def ident():
    """ident("truck") is a client identifier of this test's own, the same for the same word."""
    unique = uuid.uuid4().hex[:8]
    return lambda word: f"{word[:14]}-{unique}"


@pytest.fixture
def topic(request):
    """A topic prefix of this test's own."""
    return f"t/{request.node.originalname}/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def client(broker, ident):
    """client("truck", version=5, ...) makes a Client of the shared broker, not connected yet."""
    made = []

    def make(word="client", on=None, **options):
        it = Client(on or broker, ident(word), **options)
        made.append(it)
        return it

    yield make
    for it in made:
        it.close()


@pytest.fixture
def connect(client):
    """connect("truck", version=5, ...) makes a Client and connects it."""

    def connected(word="client", **options):
        it = client(word, **options)
        it.connect()
        return it

    return connected


@pytest.fixture(scope="session")
def table(pytestconfig):
    """table(title, header, rows) shows a Markdown table after the run, whether or not the test passes."""

    def add(title, header, rows):
        pytestconfig.stash[TABLES].append((title, markdown(header, rows)))

    return add


@pytest.fixture
def program(broker):
    """program("mosquitto", "sub", "-t", "a") starts mosquitto_sub (or `ternmq sub`) on the shared broker."""
    started = []

    def start(suite, verb, *arguments, on=None):
        target = on or broker
        it = Program([*suite_command(suite, verb), "-h", target.host, "-p", target.port, *arguments])
        started.append(it)
        return it

    yield start
    for it in started:
        it.close()


@pytest.fixture
def mqttjs(broker, ident):
    """mqttjs("truck", version=5, ...) is a connected client of mqtt.js."""
    started = []

    def start(word="js", version=5, on=None, **options):
        it = MqttJs(on or broker, ident(word), version, options)
        started.append(it)
        it.connect()
        return it

    yield start
    for it in started:
        it.close()
