"""The JavaScript packages that pages and slides load, as docs/package-lock.json names them."""

from __future__ import annotations

import shutil
import subprocess

from .. import ROOT

PACKAGES = ROOT / "build" / "npm"
MODULES = PACKAGES / "node_modules"


def install_packages() -> None:
    """Install the packages in build/npm, unless they are there already.

    Raises:
        SystemExit: npm is missing; the message says how to install it.
    """
    lock, installed = ROOT / "docs" / "package-lock.json", PACKAGES / "installed-lock.json"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "npm is missing. It comes with Node.js: install it from https://nodejs.org, or with your system's packages "
            "(Debian and Ubuntu: apt install nodejs npm; macOS: brew install node; conda install nodejs)."
        )
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "docs" / name, PACKAGES)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([npm, "ci", *options], cwd=PACKAGES, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(lock, installed)
