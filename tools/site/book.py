"""Build the book: the series as a web site in build/book, from what is committed. `make book` runs this.

    python -m tools.site.book [--out build/book]

No notebook is run. The pages load nothing from other hosts: the packages of docs/package.json that they need are copied
into the site, and the shipped weights are exported to ONNX for the demo.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from PIL import Image

from carvana_lib.cli.options import place
from carvana_lib.data import TEST_FOLD, VALIDATION_FOLD, list_pairs
from carvana_lib.extras.onnx import export_onnx
from carvana_lib.images import read_mask, read_photo
from carvana_lib.prediction import predict_array
from carvana_lib.run.weights import load_pretrained
from carvana_lib.widgets.tool import car_names

from .. import ROOT
from .check import faults
from .npm import MODULES, install_packages

BUILD = ROOT / "build"
ASSETS = BUILD / "book_assets"
SAMPLE = ROOT / "data" / "sample"
FROM_NPM = {
    "mathjax/es5/tex-svg.js": "mathjax/tex-svg.js",
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "demo/ort.js",  # some hosts do not know .mjs
}
FRONT = "48736feacede_03"  # the photo of the front page, of a car that was not trained on
WASM = "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=BUILD / "book")
    out = parser.parse_args().out.resolve()
    install_packages()
    gather_assets()
    shutil.rmtree(out, ignore_errors=True)
    command = ["sphinx", "-q", "-E", "-W", "--keep-going", "-c", "docs", "-d", str(BUILD / "doctrees"), ".", str(out)]
    if subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode:
        return 1
    # The theme's style sheet has all icons as a font; this script would draw each again, for 1.6 MB on every page.
    (out / "_static" / "scripts" / "fontawesome.js").write_text("")
    (out / ".nojekyll").touch()  # without this file GitHub Pages leaves out folders that begin with _
    found = faults(out)
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    print(f"{out}: {megabytes:.0f} MB. To read it, run: python -m http.server --directory {out}")
    print("and open http://localhost:8000. Any static host can serve this folder.")
    return 0


def gather_assets() -> None:
    """Put everything that the site needs beside its pages into ASSETS; Sphinx copies it into _static."""
    shutil.rmtree(ASSETS, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "demo", ASSETS / "demo", ignore=shutil.ignore_patterns("*.html"))
    shutil.copy(ROOT / "docs" / "teaser.jpg", ASSETS)  # for link previews
    for source, target in FROM_NPM.items():
        (ASSETS / target).parent.mkdir(exist_ok=True)
        shutil.copy(MODULES / source, ASSETS / target)
    model, config = load_pretrained("small")
    with TemporaryDirectory() as folder:
        net = halve(onnx.load(export_onnx(model, config.size, Path(folder) / "unet.onnx")))
    files = {"unet.onnx.gz": net.SerializeToString(), "ort.wasm.gz": (MODULES / WASM).read_bytes()}
    packed = {name: gzip.compress(data, mtime=0) for name, data in files.items()}
    for name, data in packed.items():
        (ASSETS / "demo" / name).write_bytes(data)
    chance = predict_array(model, read_photo(SAMPLE / "train" / f"{FRONT}.jpg"), config.size)
    Image.fromarray((chance * 255).round().astype("uint8")).save(ASSETS / "demo" / "front.png", optimize=True)
    write_cars({"size": list(config.size), "net_bytes": sum(map(len, packed.values())), "front": FRONT})


def halve(net: onnx.ModelProto) -> onnx.ModelProto:
    """Keep the large weights in half precision, as the shipped file has them; the net still computes in float32."""
    for weight in [weight for weight in net.graph.initializer if np.prod(weight.dims) > 1000]:
        name, weight.name = weight.name, f"{weight.name}_half"
        net.graph.node.insert(0, onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight).astype("float16"), weight.name))
    return net


def write_cars(settings: dict[str, object]) -> None:
    """Write the demo's photos, those of the sample's held-out cars, their masks as PNG, and cars.json."""
    folder = ASSETS / "demo" / "cars"
    folder.mkdir()
    cars: dict[str, dict[str, object]] = {}
    pairs = list_pairs(SAMPLE, [TEST_FOLD, VALIDATION_FOLD])
    names = car_names(pairs)
    for pair in pairs:
        shutil.copy(pair.photo, folder / f"{pair.name}.jpg")
        Image.fromarray(read_mask(pair.mask)).save(folder / f"{pair.name}.png", optimize=True)
        car = cars.setdefault(pair.car, {"id": pair.car, "name": names[pair.car].split(" (")[0], "views": []})
        car["views"].append(pair.view)
    (ASSETS / "demo" / "cars.json").write_text(json.dumps(settings | {"cars": list(cars.values())}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
