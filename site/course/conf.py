"""Sphinx: the course as a site, from the saved outputs of its notebooks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "sdlearn"
copyright = "sdlearn contributors"
html_title = "sdlearn: Stable Diffusion, taught by building it"
extensions = ["myst_nb", "sphinx.ext.mathjax"]
html_theme = "sphinx_book_theme"
html_favicon = "icon.svg"
html_static_path = ["_static"]  # filled by build.py
html_css_files = ["course.css"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}
html_show_sourcelink = False
mathjax_path = "mathjax/tex-mml-chtml.js"

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4

myst_heading_slug_func = "anchors.as_jupyterlab"
exclude_patterns = ["_build"]
# A folded solution begins at any level; a cross-reference to a file is a link.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
