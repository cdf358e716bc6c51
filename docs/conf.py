"""The book's settings. `make book` builds it; see tools/book.py.

The source folder is the project's own, so that a link which works on GitHub works in the book too.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
ASSETS = ROOT / "build" / "book_assets"  # MathJax and the demo's files, gathered by tools/book.py

with open(ROOT / "pyproject.toml", "rb") as file:
    _project = tomllib.load(file)["project"]
repository = _project["urls"]["Repository"]

project = "U-Net on Carvana"
author = _project["authors"][0]["name"]
project_copyright = author
release = version = _project["version"]
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "book_pages",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/**", "data/README.md"]
exclude_patterns = ["**/node_modules", "**/.ipynb_checkpoints", "**/runs", ".*", "build", "data/carvana", "data/sample"]

# Notebooks: what is committed is shown, nothing runs.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "gfm"
nb_ipywidgets_js = {}
# Tools show their still picture: there is no kernel behind a page.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4

# The library, from its docstrings.
default_role = "literal"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static", str(ASSETS)]
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_show_sphinx = False
html_copy_source = True
html_sourcelink_suffix = ""
copybutton_exclude = ".linenos, .gp, .go"
# One file without fonts to fetch. Sphinx's own address is a content delivery network's.
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}
html_theme_options = {
    "repository_url": repository,
    "repository_branch": "main",
    "use_repository_button": True,
    "use_download_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the search stands in the sidebar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
