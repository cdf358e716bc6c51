"""The book's settings. `make book` builds it with tools/site/book.py.

The source folder is the whole project. So a link that works on GitHub works in the book too.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "build" / "book_assets"  # MathJax and the files of the demo; tools/site/book.py collects them

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
    "sphinxext.opengraph",
    "docs.book_pages",  # found because `python -m sphinx` runs in the project folder
]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/**", "data/README.md"]
exclude_patterns = [
    "**/node_modules",
    "notebooks/app",
    "**/.ipynb_checkpoints",
    "**/runs",
    ".*",
    "build",
    "data/carvana",
    "data/sample",
]

# Notebooks: the committed outputs are shown, nothing runs.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "gfm"
nb_ipywidgets_js = {}
# A page has no kernel, so tools show their still picture.
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

# What a chat or a search engine shows of a link: title, first sentences, one picture.
ogp_site_url = _project["urls"]["Documentation"]
ogp_site_name = project
ogp_image = "_static/teaser.jpg"
ogp_image_alt = "Rendered cars, each with the net's probability of car, its mask, and what is wrong with it"
ogp_social_cards = {"enable": False}

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
# One file, which needs no fonts. Sphinx would load MathJax from a content delivery network.
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}
html_theme_options = {
    "repository_url": repository,
    "repository_branch": "main",
    "use_repository_button": True,
    "use_download_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the search is in the sidebar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
