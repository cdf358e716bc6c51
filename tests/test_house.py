"""The house: a small core that stands on `base` alone, no circles, and names that load when they are used."""

import ast
import inspect
import subprocess
import sys
import textwrap
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import carvana_lib
from carvana_lib.config import preset
from carvana_lib.training import Trainer

LIBRARY = Path(carvana_lib.__file__).parent
CORE = ["config", "images", "data", "transforms", "unet", "losses", "training", "metrics", "evaluation", "prediction"]
FOLDERS = {"base", "prepare", "run", "extras", "pictures", "widgets", "cli"}
MODULES = {".".join(path.relative_to(LIBRARY).with_suffix("").parts): path for path in LIBRARY.rglob("*.py")}


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imported(name: str) -> set[str]:
    """The modules of the library that a module imports, inside functions and for typing too."""
    package = name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["carvana_lib", *package[: len(package) - node.level + 1]] if node.level else []
            base = [*above, *(node.module or "").split(".")] if node.module else above
            # What follows "import" may be a module itself.
            parts = [base, *([*base, alias.name] for alias in node.names)]
        else:
            continue
        found |= {".".join(part[1:]) for part in parts if part[0] == "carvana_lib"}
    return (found & MODULES.keys()) - {name}


def test_the_core_is_ten_files_and_short():
    there = {path.stem for path in LIBRARY.glob("*.py") if not path.stem.startswith("__")}
    assert there == set(CORE)
    assert len(CORE) <= 10
    assert sum(lines(MODULES[name]) for name in CORE) <= 1550


def test_every_folder_is_one_of_the_house():
    assert {path.parent.name for path in LIBRARY.glob("*/*.py")} == FOLDERS


def test_the_library_is_small():
    assert sum(lines(path) for path in MODULES.values()) <= 7800


def test_tools_are_small():
    assert sum(lines(path) for path in (LIBRARY.parent / "tools").rglob("*.py")) <= 3680


def test_the_core_stands_on_base_alone():
    allowed = set(CORE)
    wrong = {name: {m for m in imported(name) if m not in allowed and not m.startswith("base.")} for name in CORE}
    assert {name: modules for name, modules in wrong.items() if modules} == {}


def test_base_imports_nothing_of_the_library_but_base():
    wrong = {name: {m for m in imported(name) if not m.startswith("base.")} for name in MODULES if name[:5] == "base."}
    assert {name: modules for name, modules in wrong.items() if modules} == {}


def test_no_module_leads_back_to_itself():
    graph = {name: imported(name) for name in MODULES}
    assert sum(map(len, graph.values())) > 100, "the imports were not found"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


def test_folders_are_one_way_too():
    """A folder as a whole imports no folder that imports it."""
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        if name.startswith("__"):
            continue  # the doors: they lead everywhere
        part = name.split(".")[0] if "." in name else "core"
        others = {m.split(".")[0] if "." in m else "core" for m in imported(name)}
        graph.setdefault(part, set()).update(others - {part})
    TopologicalSorter(graph).prepare()


def test_every_public_name_loads():
    assert len(carvana_lib.__all__) == len(set(carvana_lib.__all__))
    assert [name for name in carvana_lib.__all__ if getattr(carvana_lib, name, None) is None] == []
    assert not set(carvana_lib.__all__) & MODULES.keys(), "a name would hide a module"


def test_importing_the_library_loads_neither_torch_nor_matplotlib():
    script = "import carvana_lib, sys; print(sorted({'torch', 'numpy', 'matplotlib', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_core_writes_nothing():
    """No core file opens a file to write, makes a folder or moves one."""
    writers = ("write_atomically", "write_text", "write_bytes", "mkdir", "savefig", ".save(", "os.replace", "unlink(")
    found = {(name, word) for name in CORE for word in writers if word in MODULES[name].read_text(encoding="utf-8")}
    assert found == set()


def source(function: object) -> ast.FunctionDef:
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def test_one_step_is_fifteen_lines():
    body = source(Trainer.step).body[1:]  # without the docstring; unparse drops comments
    assert 5 <= len(ast.unparse(ast.Module(body, [])).splitlines()) <= 15


def test_one_step_is_read_in_four_files():
    """What `Trainer` uses of the library to prepare a batch and to take a step."""
    trainer = Trainer(preset("quick"), 20)
    module = sys.modules[Trainer.__module__]
    nodes = [node for method in (Trainer.prepare, Trainer.step) for node in ast.walk(source(method))]
    used = [getattr(module, node.id, None) for node in nodes if isinstance(node, ast.Name)]
    used += [type(trainer.model), trainer.loss_function, type(trainer.augment), type(trainer)]
    homes = {getattr(one, "__module__", None) or "" for one in used}
    ours = {home.removeprefix("carvana_lib.") for home in homes if home.startswith("carvana_lib.")}
    assert ours == {"training", "losses", "unet", "transforms"}
