"""Sphinx's settings. docs/build.py calls Sphinx with this file and with the folder that docs/site/stage.py fills."""

import minissm

project = "minissm"
release = minissm.__version__
html_title = f"minissm {release}"

extensions = ["myst_nb", "docs.site.mathml", "sphinx.ext.viewcode"]
exclude_patterns: list[str] = []
nb_execution_mode = "off"  # stage.py has run the tutorials
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist", "fieldlist"]
smartquotes = False  # "..." and quotes stand in code and formulas
myst_heading_anchors = 4  # the anchors that GitHub makes of headings
html_math_renderer = "mathml"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_search_summary = False  # they are fetched, which a browser refuses for files on the disk
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "tango"
pygments_dark_style = "native"
toc_object_entries_show_parents = "hide"
