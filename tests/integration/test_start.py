"""What the program says when it starts, and when it cannot: one clear line, status 1, nothing touched."""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.ottla import ROOT, Ottla, program  # noqa: E402


def fails(tmp_path, *arguments, text=None):
    """Runs serve in an empty folder; returns the one line that it complains with."""
    if text is not None:
        (tmp_path / "server.properties").write_text(text)
        arguments = (str(tmp_path / "server.properties"),) + arguments
    before = sorted(os.listdir(tmp_path))
    arguments += ("--override", "connect.listeners=")  # whose own port may be taken on this machine
    done = subprocess.run([program(), "serve", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    lines = [l for l in done.stderr.splitlines() if l.startswith("ottla: ")]
    assert done.returncode == 1 and done.stdout == "" and len(lines) == 1, done
    assert sorted(os.listdir(tmp_path)) == before, "nothing is touched"
    return lines[0]


@pytest.mark.parametrize("override, told", [
    ("num.partition=3", "unknown option num.partition"),
    ("num.partitions=three", "Invalid value three for configuration num.partitions: Not a number of type INT"),
    ("num.partitions=0", "Invalid value 0 for configuration num.partitions: Value must be at least 1"),
    ("auto.create.topics.enable=yes", "Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or false"),
    ("log.cleanup.policy=remove", "Invalid value remove for configuration log.cleanup.policy: String must be one of: compact, delete"),
    ("listeners=127.0.0.1:9092", "listeners=127.0.0.1:9092: must be NAME://HOST:PORT"),
    ("listeners=PLAINTEXT://127.0.0.1:99999", "the port must be a number from 0 to 65535"),
    ("listeners=SSL://127.0.0.1:9093", "this version serves PLAINTEXT"),
    ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "clients cannot connect to that address"),
    ("authorizer.class.name=com.example.Authorizer", "authorizer.class.name"),
    ("nonsense", "must be NAME=VALUE"),
])
def test_a_bad_option_is_named(tmp_path, override, told):
    assert told in fails(tmp_path, "--override", override)


def test_a_bad_line_of_the_file_is_named_with_its_number(tmp_path):
    assert "server.properties: line 3: unknown option segment.bytes" in fails(tmp_path, text="# ours\nnode.id=1\nsegment.bytes=7\n")


def test_a_missing_file_is_named(tmp_path):
    assert "nowhere.properties" in fails(tmp_path, "nowhere.properties")


def test_a_port_in_use_is_named_and_nothing_is_touched(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        line = fails(tmp_path, "--override", "listeners=PLAINTEXT://127.0.0.1:%d" % port, "--override", "connect.listeners=")
        assert "127.0.0.1:%d" % port in line and "in use" in line and "--override listeners=" in line


def test_a_locked_directory_is_named(tmp_path):
    with Ottla({"connect.listeners": ""}) as o:
        line = fails(tmp_path, "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "connect.listeners=",
                     "--override", "log.dirs=" + o.data)
        assert o.data in line and "lock" in line and "log.dirs" in line


def test_a_newer_directory_is_named_and_nothing_in_it_is_touched(tmp_path):
    folder = tmp_path / "newer"
    folder.mkdir()
    (folder / "ottla.format").write_text("version=99\n")
    line = fails(tmp_path, "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs=%s" % folder)
    assert "newer version (format 99" in line and "log.dirs" in line
    assert os.listdir(folder) == ["ottla.format"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    line = fails(tmp_path, "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs=%s/no/data" % tmp_path)
    assert "no/data: the directory above it does not exist" in line


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be somebody else")
def test_a_directory_that_is_not_writable_is_named_with_the_user(tmp_path):
    folder = tempfile.mkdtemp()
    try:
        os.chmod(folder, 0o555)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program(), "serve", "--override",
                               "listeners=PLAINTEXT://127.0.0.1:0", "--override", "connect.listeners=", "--override",
                               "log.dirs=" + folder], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "%s is not writable: Permission denied (this process runs as user 65534)" % folder in done.stderr
    finally:
        os.rmdir(folder)


def test_port_0_and_several_listeners(tmp_path):
    with Ottla({"connect.listeners": "", "listeners": "PLAINTEXT://127.0.0.1:0,SECOND://[::1]:0",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECOND:PLAINTEXT"}) as o:
        with open("/proc/%d/net/tcp6" % o.process.pid) as f:
            assert re.search(r": 0{24}01000000:", f.read())


def test_a_kafka_configuration_starts(tmp_path):
    """Options without meaning here, and the controller's listener, as in Kafka's own config/server.properties."""
    with Ottla({"connect.listeners": "", "process.roles": "broker,controller", "controller.quorum.bootstrap.servers": "localhost:9093",
                "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT", "num.io.threads": "8",
                "listeners": "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0",
                "advertised.listeners": "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}) as o:
        assert "option has no effect here name=num.io.threads" in o.log()


def test_the_manual_lists_every_option():
    listed = subprocess.run([program(), "--list-options"], capture_output=True, text=True, check=True).stdout
    with open(os.path.join(ROOT, "conf/ottla.properties")) as f:
        assert f.read() == listed


def test_help_and_versions():
    for argument in ["--help", "--version", "--list-apis"]:
        assert subprocess.run([program(), argument], capture_output=True, check=True).stdout


def folders(ottla):
    return sorted(name for name in os.listdir(ottla.data) if os.path.isdir(os.path.join(ottla.data, name)))


def records(ottla, topic):
    return client(ottla, "consume", topic, "--offset", "beginning", "--exit").splitlines()


def client(ottla, *arguments, text=None):
    done = subprocess.run([program(), *arguments, "--bootstrap-server", ottla.bootstrap], input=text, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("killed", [False, True])
def test_folders_of_no_topic_are_set_aside_and_kept(killed):
    with Ottla() as ottla:
        client(ottla, "topics", "create", "kept", "--partitions", "2")
        client(ottla, "produce", "kept", text="one\ntwo\n")
        ottla.kill() if killed else ottla.stop()
        known = folders(ottla)
        left = next(name for name in known if name.startswith("kept-"))
        # What Kafka or a deletion that was cut short may leave; and what is none of a broker's business.
        shutil.copytree(os.path.join(ottla.data, left), os.path.join(ottla.data, "left-3"))
        shutil.copytree(os.path.join(ottla.data, left), os.path.join(ottla.data, "kept-7"))
        with open(os.path.join(ottla.data, "notes-2"), "w") as f:
            f.write("a file\n")
        os.mkdir(os.path.join(ottla.data, "lost+found"))
        before = {name: open(os.path.join(ottla.data, left, name), "rb").read()
                  for name in os.listdir(os.path.join(ottla.data, left))}

        ottla.start()
        strays = [name for name in folders(ottla) if name.endswith("-stray")]
        assert len(strays) == 2 and set(folders(ottla)) == set(known) | set(strays) | {"lost+found"}
        for name in strays:
            assert re.fullmatch(r"(left-3|kept-7)\.[0-9a-f]{32}-stray", name)
            assert "as=%s" % name in ottla.log()
            inside = os.path.join(ottla.data, name)
            assert before == {n: open(os.path.join(inside, n), "rb").read() for n in os.listdir(inside)}
        # A new topic of that name begins empty, and the old records of the others are there.
        client(ottla, "topics", "create", "left", "--partitions", "4")
        assert records(ottla, "left") == [] and sorted(records(ottla, "kept")) == ["one", "two"]
        # They do not keep a stop from being clean, and the next start finds nothing new.
        assert ottla.stop() == 0
        assert os.path.exists(os.path.join(ottla.data, ".kafka_cleanshutdown"))
        ottla.start()
        assert [name for name in folders(ottla) if name.endswith("-stray")] == strays


def verify(*paths):
    return subprocess.run([program(), "verify", *paths], capture_output=True, text=True, timeout=60)


def test_damage_is_found_while_a_broker_runs_and_after_its_stop():
    with Ottla() as ottla:
        client(ottla, "topics", "create", "kept", "--partitions", "1")
        client(ottla, "produce", "kept", text="one\n" * 100)
        done = verify(ottla.data)
        assert done.returncode == 0 and done.stdout.endswith(" 0 damaged\n"), done.stdout
        path = os.path.join(ottla.data, "kept-0", "0" * 20 + ".log")
        with open(path, "r+b") as f:
            f.seek(70)
            byte = f.read(1)[0]
            f.seek(70)
            f.write(bytes([byte ^ 16]))
        ottla.sound = False
        for step in (lambda: None, ottla.stop):
            step()
            for target in (ottla.data, os.path.dirname(path), path):
                done = verify(target)
                lines = done.stdout.splitlines()
                assert done.returncode == 1 and len(lines) == 2, done.stdout
                assert re.fullmatch(r"DAMAGED .*/kept-0/0{20}\.log: position 0: the checksum of the batch of offsets 0 to \d+ "
                                    "is wrong", lines[0])
        assert verify("/nowhere").returncode == 1 and verify().returncode == 2
