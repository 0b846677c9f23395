"""Keeps every test run away from the reader's own Jupyter, IPython and matplotlib settings."""

import os
import tempfile
from pathlib import Path

# What strict nbval leaves out of the HTML of an output: the bytes of pictures, as it does where they
# stand alone, and which widget of this run takes a picture's place.
UNCOMPARED = r"""
regex: base64,[A-Za-z0-9+/=]+
replace: base64,
regex: data-vae-view="\w*"
replace: data-vae-view=""
"""


def pytest_configure(config):
    """Points the folders that kernels and tests would use to a temporary one, and nbval to its list."""
    folder = tempfile.TemporaryDirectory(prefix="vae-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    for name in (
        "JUPYTER_DATA_DIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):
        path = os.path.join(folder.name, name.lower())
        os.makedirs(path)
        os.environ[name] = path
    uncompared = Path(folder.name, "uncompared.cfg")
    uncompared.write_text(UNCOMPARED, encoding="utf-8")
    config.option.nbval_sanitize_with = str(uncompared)
