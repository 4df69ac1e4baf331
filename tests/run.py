#!/usr/bin/env python3
"""Runs the tests with real clients against the real binary: python3 tests/run.py [pytest arguments].

Prepares what they need and then hands over to pytest, whose exit code is this program's:
Python packages into .venv, npm packages into tests/node/node_modules, Debian packages by apt-get
where it may, the broker by cargo (unless TERNMQ_BIN names one). What is up to date is left alone.

Only the standard library is imported here; the tests themselves are in the files beside this one.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
VENV = ROOT / ".venv"
NODE = TESTS / "node"
OLDEST_PYTHON = (3, 10)
OLDEST_NODE = 18

# program -> the Debian package that brings it
DEBIAN = {
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "node": "nodejs",
    "npm": "npm",
}


def fail(message):
    print(f"tests/run.py: {message}", file=sys.stderr)
    sys.exit(1)


def run(command, what, **options):
    """Runs a preparation step; its output appears only if it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode != 0:
        print(result.stdout, file=sys.stderr)
        fail(f"{what} failed: {' '.join(map(str, command))}")
    return result.stdout


def wants_mosquitto(arguments):
    """Whether pytest was told `--broker mosquitto`: only then the broker itself is needed."""
    return "--broker=mosquitto" in arguments or ("--broker", "mosquitto") in zip(arguments, arguments[1:])


def debian_packages(arguments):
    """Installs the Debian packages whose programs are missing, or ends with their names."""
    needed = dict(DEBIAN)
    if wants_mosquitto(arguments):
        needed["mosquitto"] = "mosquitto"
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    packages = {package for program, package in needed.items() if shutil.which(program) is None}
    if importlib.util.find_spec("ensurepip") is None:
        packages.add("python3-venv")
    if not packages:
        return
    names = " ".join(sorted(packages))
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        fail(f"these packages are missing: {names}\nInstall them, for example: sudo apt-get install -y {names}")
    print(f"installing {names} ...", flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", "update"], "apt-get update", env=environment)
    run(["apt-get", "install", "-y", "--no-install-recommends", *sorted(packages)], f"installing {names}", env=environment)


def fingerprint(*files):
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def up_to_date(stamp, value):
    return stamp.is_file() and stamp.read_text() == value


def python_packages():
    """The venv, made anew when the requirements or the interpreter have changed."""
    wanted = TESTS / "requirements.txt"
    stamp = VENV / "requirements.sha256"
    value = fingerprint(wanted)
    if not up_to_date(stamp, value):
        print("installing Python packages into .venv ...", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], "making the venv")
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", "-r", str(wanted)], "installing the Python packages")
        stamp.write_text(value)


def node_packages():
    """node_modules exactly as package-lock.json says."""
    version = run(["node", "--version"], "asking node for its version").strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        fail(f"node {version} is too old: {OLDEST_NODE} or newer is needed (Debian package nodejs)")
    stamp = NODE / "node_modules" / "lock.sha256"
    value = fingerprint(NODE / "package.json", NODE / "package-lock.json")
    if not up_to_date(stamp, value):
        print("installing npm packages into tests/node ...", flush=True)
        run(["npm", "ci", "--no-audit", "--no-fund"], "npm ci", cwd=NODE)
        stamp.write_text(value)


def binary():
    """The broker under test: TERNMQ_BIN, or a release build of this tree."""
    named = os.environ.get("TERNMQ_BIN")
    if named:
        path = Path(named).resolve()
        if not os.access(path, os.X_OK):
            fail(f"TERNMQ_BIN={named} is not an executable file")
        return path
    print("cargo build --release -p ternmq ...", flush=True)
    if subprocess.run(["cargo", "build", "--release", "-p", "ternmq"], cwd=ROOT).returncode != 0:
        fail("the broker does not build")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (ROOT / target / "release" / "ternmq").resolve()


def main():
    arguments = sys.argv[1:]
    if sys.version_info < OLDEST_PYTHON:
        fail(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed")
    debian_packages(arguments)
    python_packages()
    node_packages()
    if not wants_mosquitto(arguments) or os.environ.get("TERNMQ_BIN"):
        os.environ["TERNMQ_BIN"] = str(binary())
    python = str(VENV / "bin" / "python")
    # -u, so that what a test prints and pytest's own lines stay in order when written to a file
    os.chdir(TESTS)
    os.execv(python, [python, "-u", "-m", "pytest", *arguments])


if __name__ == "__main__":
    main()
