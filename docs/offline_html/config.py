"""A notebook as one HTML file, formulas and alternative texts included, for reading without a network.

From the course's folder, for instance

    jupyter nbconvert --config docs/offline_html/config.py --output-dir html notebooks/03_gaussian_kl.ipynb

MathJax has to be there: npm install --prefix docs --ignore-scripts.
"""

import base64
import re
from pathlib import Path

from nbconvert.preprocessors import Preprocessor

HERE = Path("docs/offline_html").resolve()  # nbconvert runs this text without saying where it stands
MATHJAX = HERE.parent / "node_modules" / "mathjax" / "es5" / "tex-svg-full.js"
if not MATHJAX.is_file():
    raise SystemExit(f"expected {MATHJAX}, here: npm install --prefix docs --ignore-scripts")


class Links(Preprocessor):
    """Lets the links between notebooks lead to the pages that are made of them."""

    def preprocess_cell(self, cell, resources, index):
        """Changes the links of a cell of prose."""
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.html", cell.source)
        return cell, resources


c = get_config()  # noqa: F821
c.NbConvertApp.export_format = "html"
c.TemplateExporter.extra_template_basedirs = [str(HERE.parent)]
c.TemplateExporter.template_name = HERE.name
c.HTMLExporter.mathjax_url = "data:text/javascript;base64," + base64.b64encode(MATHJAX.read_bytes()).decode()
c.HTMLExporter.preprocessors = [Links]
c.HTMLExporter.embed_images = True
