"""Settings of Sphinx for the site; build_site.py runs it."""

from __future__ import annotations

import os

project = "zpp"
release = version = os.environ["ZPP_VERSION"]
copyright = "the zpp developers"  # noqa: A001 (Sphinx gives the name)

extensions = ["myst_parser"]
root_doc = "index"
html_theme = "furo"
html_title = f"zpp {release}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "font-stack": "system-ui, sans-serif",
        "font-stack--monospace": "DejaVu Sans Mono, Menlo, Consolas, monospace",
    }
}

# The same anchors as on Git hosting sites, so that a link works on both.
myst_heading_anchors = 4
myst_links_external_new_tab = False
pygments_style = "friendly"
