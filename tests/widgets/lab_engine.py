"""The Lab's modules run by node, for tests that hold them against PyTorch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

LAB = Path(__file__).parents[2] / "vae_helpers" / "widgets" / "lab"


def skip_without_node() -> None:
    """Skips where there is no node; fails where VAE_BROWSER_TESTS=required forbids skipping."""
    if not shutil.which("node"):
        required = os.environ.get("VAE_BROWSER_TESTS") == "required"
        (pytest.fail if required else pytest.skip)("tests of the page's scripts: node is not installed")


def run_node(script: str, *modules: str, **given: Any) -> Any:
    """What a script hands to `answer`.

    Args:
        script: JavaScript; `given` holds the values, and each module's exports stand under its name.
        modules: names of the Lab's modules, without `.js`.
        given: what can be written as JSON.
    """
    skip_without_node()
    lines = [f"import * as {name} from {json.dumps((LAB / f'{name}.js').as_uri())};" for name in modules]
    lines += [
        'import { readFileSync } from "node:fs";',
        'const given = JSON.parse(readFileSync(0, "utf8"));',
        # JSON knows no NaN and no typed array.
        "const number = (v) => typeof v === 'number' && !isFinite(v) ? String(v) : v;",
        "const plain = (_, v) => ArrayBuffer.isView(v) ? Array.from(v, number) : number(v);",
        "const answer = (value) => process.stdout.write(JSON.stringify(value, plain));",
        script,
    ]
    run = subprocess.run(
        [shutil.which("node"), "--input-type=module", "-e", "\n".join(lines)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)
