"""Keeps every test run away from the reader's own Jupyter, IPython and matplotlib settings."""

import os
import tempfile


def pytest_configure(config):
    """Points the folders that kernels and tests would use to a temporary one."""
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
