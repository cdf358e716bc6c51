"""Build the book: the series as a web site in build/book, from what is committed. `make book` runs this.

    python tools/book.py [--out build/book]

Nothing is executed but the export of the shipped weights to ONNX. The pages load nothing from other hosts: what
they need from npm (docs/package.json) is copied in.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from check_site import faults  # noqa: E402

from carvana_lib.run.weights import load_pretrained  # noqa: E402
from carvana_lib.data import TEST_FOLD, VALIDATION_FOLD, list_pairs  # noqa: E402
from carvana_lib.extras.onnx import export_onnx  # noqa: E402
from carvana_lib.images import read_mask  # noqa: E402

BUILD = ROOT / "build"
ASSETS = BUILD / "book_assets"
PACKAGES = BUILD / "npm"
SAMPLE = ROOT / "data" / "sample"
FROM_NPM = {
    "mathjax/es5/tex-svg.js": "mathjax/tex-svg.js",
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "demo/ort.js",  # .js, since some hosts do not know .mjs
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm": "demo/ort-wasm-simd-threaded.wasm",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=BUILD / "book")
    out = parser.parse_args().out.resolve()
    if shutil.which("npm") is None:
        print("The book needs npm, which comes with Node.js: install it from https://nodejs.org, or with your system's")
        print("packages (Debian and Ubuntu: apt install nodejs npm; macOS: brew install node; conda install nodejs).")
        return 1
    install_packages()
    gather_assets()
    shutil.rmtree(out, ignore_errors=True)
    command = ["sphinx", "-q", "-E", "-W", "--keep-going", "-c", "docs", "-d", str(BUILD / "doctrees"), ".", str(out)]
    if subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode:
        return 1
    (out / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>U-Net on Carvana</title>'
        '<link rel="icon" href="_static/favicon.svg"><meta http-equiv="refresh" content="0; url=docs/index.html">'
        '<main><h1>U-Net on Carvana</h1><a href="docs/index.html">Begin here</a></main></html>\n'
    )
    (out / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _
    found = faults(out)
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    print(f"{out}: {megabytes:.0f} MB. Read it with: python -m http.server --directory {out}")
    print("and open http://localhost:8000. Any static host serves it as it is.")
    return 0


def install_packages() -> None:
    """What docs/package-lock.json names, in build/npm; nothing if it is there already."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    lock, installed = ROOT / "docs" / "package-lock.json", PACKAGES / "installed-lock.json"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "docs" / name, PACKAGES)
    npm = [shutil.which("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(npm, cwd=PACKAGES, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(lock, installed)


def gather_assets() -> None:
    """Everything beside the pages that the site needs, laid out as below _static."""
    shutil.rmtree(ASSETS, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "demo", ASSETS / "demo", ignore=shutil.ignore_patterns("*.html"))
    for source, target in FROM_NPM.items():
        (ASSETS / target).parent.mkdir(exist_ok=True)
        shutil.copy(PACKAGES / "node_modules" / source, ASSETS / target)
    model, config = load_pretrained("small")
    export_onnx(model, config.size, ASSETS / "demo" / "unet.onnx")
    write_cars(config.size)


def write_cars(size: tuple[int, int]) -> None:
    """The sample's held-out cars for the demo: photos as they are, masks as PNG, and cars.json."""
    folder = ASSETS / "demo" / "cars"
    folder.mkdir()
    with open(SAMPLE / "metadata.csv", newline="") as file:
        names = {row["car"]: f"{row['colour']} {row['style']}".replace("suv", "SUV") for row in csv.DictReader(file)}
    cars: dict[str, dict[str, object]] = {}
    for pair in list_pairs(SAMPLE, [TEST_FOLD, VALIDATION_FOLD]):
        shutil.copy(pair.photo, folder / f"{pair.name}.jpg")
        Image.fromarray(read_mask(pair.mask)).save(folder / f"{pair.name}.png", optimize=True)
        car = cars.setdefault(pair.car, {"id": pair.car, "name": names[pair.car], "views": []})
        car["views"].append(pair.view)
    settings = {"size": list(size), "cars": list(cars.values())}
    (ASSETS / "demo" / "cars.json").write_text(json.dumps(settings) + "\n")


if __name__ == "__main__":
    sys.exit(main())
