"""Fetches the clients, each at its first use, from the registry of its language by that language's own tool, into a cache outside the
tree: $OTTLA_COMPAT_CACHE, or `ottla-compat` in the user's cache folder. What cannot be had raises Missing, which says why."""
import functools
import glob
import hashlib
import os
import platform
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get("OTTLA_COMPAT_CACHE",
                       os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "ottla-compat"))
FETCH_TIMEOUT_S = 900


class Missing(Exception):
    """Something that a row needs is not on this machine and cannot be fetched."""


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Missing("needs %s" % program)


def call(arguments, folder=None, **more):
    done = subprocess.run(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=FETCH_TIMEOUT_S, stdin=subprocess.DEVNULL, env=dict(os.environ, **more))
    if done.returncode == 124 and arguments[0] == "timeout":
        raise Missing("%s: not within %s s" % (arguments[3], arguments[1]))
    if done.returncode:
        lines = [line for line in done.stdout.strip().splitlines() if line.strip()]
        raise Missing("%s: %s" % (" ".join(arguments[:3]), (lines or ["exit status %d" % done.returncode])[-1][:200]))
    return done.stdout


def made(folder, make):
    """The folder in the cache, made anew unless a whole one is there: an interrupted make leaves no mark."""
    path = os.path.join(CACHE, folder)
    mark = os.path.join(path, ".whole")
    if not os.path.exists(mark):
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        make(path)
        open(mark, "w").close()
    return path


def digest(files):
    """Changes when one of our own sources does, so that what is compiled from them is compiled again."""
    text = hashlib.sha256()
    for name in sorted(files):
        if os.path.isfile(name):
            with open(name, "rb") as f:
                text.update(name.encode() + f.read())
    return text.hexdigest()[:12]


# -- Java --

@functools.lru_cache(None)
def jars(profile, *excluded):
    """The class path of a profile of java/pom.xml, without the artifacts that are named."""
    need("java", "mvn")
    folder = made("jars-" + profile, lambda path: call(
        ["mvn", "-q", "-B", "-f", os.path.join(HERE, "java", "pom.xml"), "-P", profile, "dependency:copy-dependencies",
         "-DincludeScope=runtime", "-DexcludeArtifactIds=" + ",".join(excluded), "-DoutputDirectory=" + path]))
    return os.path.join(folder, "*")


@functools.lru_cache(None)
def java(profile, *sources, heap="512m"):
    """A command that runs a class of java/, compiled against that profile: java("kafka41", "Core") + ["Core", ...]."""
    path = jars(profile)
    need("javac")
    files = [os.path.join(HERE, "java", name + ".java") for name in ("Check",) + sources]

    def compile_all(folder):
        # A source that does not compile is a defect of ours, nothing that is missing here.
        subprocess.run(["javac", "-nowarn", "-XDsuppressNotes", "-encoding", "UTF-8", "-d", folder, "-cp", path] + files, check=True)
    classes = made("classes-%s-%s-%s" % (profile, "-".join(sources), digest(files)), compile_all)
    return java_program("%s:%s" % (classes, path), heap)


def java_program(path, heap="512m"):
    return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
            "-Dlog4j2.configurationFile=file:" + os.path.join(HERE, "java", "log4j2.properties"),
            "-Dlog4j.configuration=file:" + os.path.join(HERE, "java", "log4j.properties"), "-cp", path]


# -- Python, Node, Go, Rust --

@functools.lru_cache(None)
def python(folder, *packages):
    """The interpreter of an environment with those packages."""
    def make(path):
        call([sys.executable, "-m", "venv", path])
        call([os.path.join(path, "bin", "pip"), "-q", "install"] + list(packages))
    return os.path.join(made(folder, make), "bin", "python")


def npm_install(path, packages):
    with open(os.path.join(path, "package.json"), "w") as f:
        f.write('{"name": "compat", "private": true}\n')
    call(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"] + list(packages), path)


@functools.lru_cache(None)
def node(folder, *packages):
    """A folder with those packages below node_modules."""
    need("node", "npm")
    return made(folder, lambda path: npm_install(path, packages))


@functools.lru_cache(None)
def node_runtime():
    """The folder of a node that is newer than Debian's, for clients that ask for one; npm ships it as a package."""
    need("node", "npm")
    package = "node-linux-" + {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return os.path.join(made("node-runtime-24", lambda path: npm_install(path, [package + "@24"])), "node_modules", package)


NATIVE_BUILD_S = 600


@functools.lru_cache(None)
def confluent_javascript():
    """A folder with @confluentinc/kafka-javascript below node_modules, compiled for node_runtime(). Its own build would compile
    librdkafka with a job for each file: it is made before that, by one."""
    need("node", "npm", "make", "g++", "timeout")
    runtime = node_runtime()
    more = {"PATH": os.path.join(runtime, "bin") + os.pathsep + os.environ["PATH"], "CKJS_LINKING": "dynamic"}

    def make(path):
        npm_install(path, ["@confluentinc/kafka-javascript"])
        package = os.path.join(path, "node_modules", "@confluentinc", "kafka-javascript")
        limited = ["timeout", str(NATIVE_BUILD_S), "nice"]
        call(["node", "util/configure"], package, **more)
        call(limited + ["make", "-j1", "-C", "deps/librdkafka", "libs"], package, **more)
        call(limited + [os.path.join(path, "node_modules", ".bin", "node-pre-gyp"), "rebuild", "--build-from-source", "--nodedir=" + runtime, "--jobs=1"],
             package, **more)
    return made("node-confluent", make)


@functools.lru_cache(None)
def go(driver):
    """The program of go/DRIVER, built with the newest versions that go.mod allows."""
    need("go")

    def make(path):
        call(["go", "build", "-o", os.path.join(path, driver), "./" + driver], os.path.join(HERE, "go"))
    return os.path.join(made("go-%s-%s" % (driver, digest(glob.glob(os.path.join(HERE, "go", "**"), recursive=True))), make), driver)


@functools.lru_cache(None)
def rust(driver):
    """The program of rust/src/bin/DRIVER.rs. It is compiled in a copy: cargo writes beside its sources. What it compiled of others is
    kept for the next time."""
    need("cargo")

    def make(path):
        sources = os.path.join(path, "sources")
        shutil.copytree(os.path.join(HERE, "rust"), sources)
        call(["cargo", "build", "--quiet", "--bin", driver], sources,
             CARGO_TARGET_DIR=os.path.join(CACHE, "rust-target"))
        shutil.copy(os.path.join(CACHE, "rust-target", "debug", driver), os.path.join(path, driver))
    return os.path.join(made("rust-%s-%s" % (driver, digest(glob.glob(os.path.join(HERE, "rust", "**"), recursive=True))), make), driver)
