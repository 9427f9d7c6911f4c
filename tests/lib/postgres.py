"""Private PostgreSQL servers. PostgreSQL refuses to run as root, so as root they run as the user `postgres`, with their
data in a folder of their own outside root's home; the distribution's own cluster is never touched.

A data directory is made once per version (initdb) and copied for each server, so that a new server costs ~0.3 s."""
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

from lib.embedded_postgres import CACHE
from lib.ports import free_port
from lib.wait import until

_USER = "postgres"
_templates = {}
SETTINGS = {
    "wal_level": "logical", "fsync": "off", "max_wal_senders": "20", "max_replication_slots": "20", "timezone": "UTC",
    "log_timezone": "UTC", "shared_buffers": "16MB", "max_connections": "60", "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1", "wal_sender_timeout": "60s", "min_wal_size": "32MB", "max_prepared_transactions": "5",
    "autovacuum": "off", "lc_messages": "C",
}


def binaries(version="15"):
    """The folder of initdb and postgres of that major version, or None. OTTLA_PG_DIR_<version> names another place."""
    places = [os.environ.get("OTTLA_PG_DIR_" + version), "/usr/lib/postgresql/%s/bin" % version,
              os.path.join(CACHE, version, "bin")]
    return next((p for p in places if p and os.path.exists(os.path.join(p, "postgres"))), None)


def _as_user(arguments):
    if os.getuid() != 0:
        return arguments
    return ["setpriv", "--reuid=" + _USER, "--regid=" + _USER, "--clear-groups"] + arguments


def _run(arguments, **more):
    done = subprocess.run(_as_user(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", **more)
    if done.returncode:
        raise RuntimeError("%s failed:\n%s" % (arguments[0], done.stdout))
    return done.stdout


def _chown(path):
    if os.getuid() == 0:
        entry = pwd.getpwnam(_USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _folder():
    """A new folder of the server's user that says which process it belongs to."""
    folder = tempfile.mkdtemp(prefix="ottla-pg-", dir="/var/tmp")
    with open(os.path.join(folder, "owner"), "w") as f:
        f.write(str(os.getpid()))
    os.chmod(folder, 0o755)
    _chown(folder)
    return folder


def _template(version):
    if version not in _templates:
        folder = _folder()
        data = os.path.join(folder, "data")
        _run([os.path.join(binaries(version), "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
              "--locale=C.UTF-8", "--no-sync"])
        _templates[version] = folder
    return os.path.join(_templates[version], "data")


def remove_templates():
    for folder in _templates.values():
        shutil.rmtree(folder, ignore_errors=True)
    _templates.clear()


class Postgres:
    """A running server: host, port, psql(). Use as a context manager, or call stop()."""

    host = "127.0.0.1"

    def __init__(self, version="15", settings=None):
        self.version = version
        self.bin = binaries(version)
        if not self.bin:
            raise RuntimeError("PostgreSQL %s is not installed" % version)
        template = _template(version)
        self.folder = _folder()
        self.data = os.path.join(self.folder, "data")
        _run(["cp", "-a", "--reflink=auto", template, self.data])
        self.port = free_port()
        self.settings = dict(SETTINGS, **(settings or {}))
        self.process = None
        self.start()

    def start(self):
        options = []
        for name, value in self.settings.items():
            options += ["-c", "%s=%s" % (name, value)]
        log = open(os.path.join(self.folder, "log"), "a")
        self.process = subprocess.Popen(
            _as_user([os.path.join(self.bin, "postgres"), "-D", self.data, "-p", str(self.port)] + options),
            stdout=log, stderr=log, cwd="/")
        log.close()
        until(lambda: "PostgreSQL on port %d\n%s" % (self.port, self.log()), self._ready, 30)

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("PostgreSQL ended:\n" + self.log())
        return subprocess.run(["pg_isready", "-q", "-h", self.host, "-p", str(self.port)]).returncode == 0

    def log(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()[-3000:]

    def stop(self, signal="fast", keep=False):
        """signal: fast, immediate (as a crash)."""
        if self.process and self.process.poll() is None:
            _run([os.path.join(self.bin, "pg_ctl"), "-D", self.data, "stop", "-m", signal, "-w"])
            self.process.wait(30)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, signal="fast"):
        self.stop(signal, keep=True)
        self.start()

    def psql(self, sql, database="postgres", check=True):
        """Runs sql (each statement on its own unless it says BEGIN); returns the rows as text, one a line."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.host, "-p", str(self.port), "-U",
             "postgres", "-d", database, "-f", "-"], input=sql, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode:
            raise RuntimeError("psql: %s\n%s" % (done.stderr.strip(), sql[:500]))
        return done.stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def remove_leftovers():
    """Folders of test processes that were killed, unless a server still uses one."""
    for folder in glob.glob("/var/tmp/ottla-pg-*"):
        try:
            with open(os.path.join(folder, "owner")) as f:
                owner = int(f.read())
        except (OSError, ValueError):
            continue
        if not os.path.exists("/proc/%d" % owner) and not os.path.exists(os.path.join(folder, "data", "postmaster.pid")):
            shutil.rmtree(folder, ignore_errors=True)
