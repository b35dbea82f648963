"""make setup: the environment in .venv, from requirements.lock with hashes. Needs nothing but Python's own library.

uv, installed by pip from the same lock, installs the rest in seconds. Nothing happens when nothing changed.
When it does not end well, the environment is again what it was before.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BEFORE = ROOT / ".venv.before"  # while a new one is made
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "kafka-course.installed"
PROGRAM = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def main():
    """Makes or refreshes .venv; returns the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python gets as far as here, and needs the message)
        return fail(
            "Python {}.{} is too old.".format(*sys.version_info),
            "the course needs Python 3.11 or newer",
            "install one, then: make setup PYTHON=python3.11",
        )
    put_back()
    stamp, *installed = STAMP.read_text().split("\n") if STAMP.exists() else [""]
    if stamp == wanted():
        if PROGRAM.exists() and all(map(complete, installed)):
            return 0
        print("Files are missing in .venv. ", end="")
    print("Setting up .venv ...", flush=True)
    try:
        if status := make_venv() or install():
            return status
        shutil.rmtree(BEFORE, ignore_errors=True)
        return 0
    finally:
        put_back()


def put_back():
    """Gives .venv the place again that a set-up took from it and did not fill, whether it failed or was killed."""
    if BEFORE.exists():
        shutil.rmtree(VENV, ignore_errors=True)
        BEFORE.rename(VENV)


def wanted():
    """The first line of the stamp when the environment is up to date; the others name the packages."""
    parts = [path.read_bytes() for path in (LOCK, ROOT / "pyproject.toml")]
    return hashlib.sha256(b"".join([*parts, str(VENV).encode(), sys.version.encode()])).hexdigest()


def site_packages():
    """The folder of the environment's packages."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(VENV)}))


def complete(package):
    """Whether all code of a package is still there. package: its dist-info folder, whose RECORD (PEP 376) lists it."""
    folder = site_packages()
    record = folder / package / "RECORD"
    if not record.exists():
        return False
    names = (line.split(",")[0] for line in record.read_text("utf-8").split("\n"))
    return all((folder / name).exists() for name in names if name.endswith((".py", ".so")))


def make_venv():
    """Makes .venv anew, empty."""
    if not bundled_pip():
        return fail(
            "This Python cannot make an environment.",
            "it came without the module ensurepip, or without the pip in it",
            "on Debian and Ubuntu: apt-get install python3-venv   (then: make setup)",
        )
    try:
        if STAMP.exists():
            VENV.rename(BEFORE)
        venv.create(VENV, clear=True, symlinks=sys.platform != "win32")
    except OSError as error:
        return fail("The environment .venv could not be made.", str(error), "make setup")
    return 0


def pip(python):
    """The command line of a pip that installs into an environment: this Python's own, or else the one in its wheel.

    Installing one into .venv first would take seconds, and it would be compiled anew.
    """
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--python", python]
    return [python, str(bundled_pip() / "pip")]


def bundled_pip():
    """The wheel of pip that comes with Python, or None. It runs as it is."""
    found = importlib.util.find_spec("ensurepip")
    folders = [Path(found.origin).parent / "_bundled"] if found else []
    if found and sysconfig.get_config_var("WHEEL_PKG_DIR"):  # where Linux distributions keep it
        folders.append(Path(sysconfig.get_config_var("WHEEL_PKG_DIR")))
    return next((wheel for folder in folders for wheel in folder.glob("pip-*.whl")), None)


def lost_links():
    """ "PIP_FIND_LINKS=/media/stick/wheels" for each variable of a workshop's stick whose folder is not there."""
    set_to = {name: os.environ.get(name, "") for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS")}
    return [f"{name}={where}" for name, where in set_to.items() if where.startswith("/") and not Path(where).exists()]


def install():
    """Installs uv, then everything of the lock, then the helpers."""
    if lost := lost_links():
        return fail(
            "The folder of wheels is not there.",
            ", ".join(lost),
            "set the variables to where the stick is (ls /media/* /media/*/* /Volumes/*), then: make setup",
        )
    own_lock = VENV / "uv-requirements.txt"
    own_lock.write_text(entry("uv"))
    uv = (str(PROGRAM), "-m", "uv", "pip", "install", "--quiet")
    options = ("--quiet", "--disable-pip-version-check", "--retries", "1", "--require-hashes")
    for step in (
        (*pip(str(PROGRAM)), "install", *options, "-r", str(own_lock)),
        (*uv, "--require-hashes", "-r", str(LOCK)),
        (*uv, "--no-deps", "--no-build-isolation", "--offline", "-e", str(ROOT)),
    ):
        done = run(*step)
        if done.returncode:
            return fail(
                "The packages could not be installed.",
                last_line(done),
                "connect to a network with a Python package index (or set the four variables of a workshop's stick "
                "to a whole copy of its wheels, as README says; or make room on the disk), then: make setup",
            )
    leave_out_the_news()
    installed = sorted(path.name for path in site_packages().glob("*.dist-info"))
    STAMP.write_text("\n".join([wanted(), *installed]))
    return 0


def leave_out_the_news():
    """JupyterLab of this environment does not ask, at its first start, whether it may fetch news."""
    config = VENV / "etc" / "jupyter" / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))


def entry(package):
    """The lines of one package in requirements.lock."""
    return re.search(rf"^{package}==.*?(?=^\S|\Z)", LOCK.read_text(), re.MULTILINE | re.DOTALL).group(0)


def run(*line):
    """Runs a command and keeps what it says."""
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)


def last_line(done):
    """The last thing that a failed command said."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in lines if re.search("error|caused by|because", line, re.IGNORECASE)]
    return (telling or lines or ["it said nothing"])[-1]


def fail(what, why, mend):
    """Prints one message; returns the exit status."""
    print(f"{what}\n  why:  {why}\n  mend: {mend}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
