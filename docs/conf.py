"""How Sphinx makes the web edition; `python -m vae_helpers site` calls it with what it has made ready."""

project = "Variational autoencoders"
author = "the authors of the course"
copyright = "CC BY 4.0"
html_title = "Variational autoencoders, with every claim checked"
language = "en"

extensions = ["myst_nb", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_block"]
myst_heading_anchors = 3
myst_update_mathjax = False
nb_execution_mode = "off"  # what the notebooks hold was executed, and is compared by the tests
nb_merge_streams = True

numfig = True
math_numfig = True
numfig_secnum_depth = 1

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
    "use_edit_page_button": False,
    "use_repository_button": False,
    "use_issues_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["_static"]
html_extra_path = ["_extra"]  # the slides, which are pages of their own
html_css_files = ["course.css", "page.css"]
html_js_files = [("course.js", {"defer": "defer"}), ("page.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_use_index = False
templates_path = ["_templates"]

# One file with all of TeX, drawn as SVG: it needs no fonts, and asks for nothing else while one reads.
mathjax_path = "mathjax/tex-svg-full.js"
mathjax_options = {"defer": "defer"}
mathjax3_config = {
    "options": {
        "enableMenu": False,
        "ignoreHtmlClass": "tex2jax_ignore|mathjax_ignore|document",
        "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area|vae-web",
    },
    "tex": {"inlineMath": [["$", "$"], ["\\(", "\\)"]], "processEscapes": True},
}
