"""Where submissions run: processes with limits, gone afterwards, and files that stay as they were."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from vae_helpers.classroom import _runner

PACKAGE = Path(_runner.__file__).parents[1]
UID = 61184  # of nobody: the first that systemd keeps for users who come and go
_ANSWER = 16 << 20  # bytes that are heard of a process
_UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--ipc"]
# Stands between the grader and a submission that ends its parent, where there are no namespaces.
_GUARD = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
# What the runner may say.
_FORMS = (
    {"ready": bool},
    {"cell": int},
    {"failed": int, "why": str},
    {"checking": int},
    {"exercise": int, "codes": list, "message": str},
    {"done": bool},
)


class Place:
    """Runs jobs, each in processes that are gone afterwards, and watches over the files around them.

    Attributes:
        apart: whether the system keeps a job from everything but its own folder.
    """

    def __init__(self, watched: list[Path], memory: int) -> None:
        self._memory, self._watched = memory, watched
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        unshare = _UNSHARE + ([] if root else ["--user", "--map-root-user"])
        namespaces = [True] if sys.platform == "linux" and shutil.which("unshare") else []
        for self.apart, self._uid in [*((each, UID) for each in namespaces), (False, UID), (False, 0)]:
            self._prefix = unshare if self.apart else _GUARD
            self._uid *= root
            if any("ready" in each for each in self.run({"cells": []}, 30.0)[0]):
                break
        else:
            raise RuntimeError("expected a process that could run submissions, got none that starts")
        self._before = {} if self.apart else self._files()

    def run(self, job: dict[str, Any], seconds: float) -> tuple[list[dict[str, Any]], str]:
        """What the runner tells of a job, and why it was stopped or ended; "" if it has come to its end."""
        job = job | {"memory": self._memory, "apart": self.apart, "uid": self._uid}
        token = os.urandom(8).hex()
        deadline, why, told = time.monotonic() + seconds, "", bytearray()
        with tempfile.TemporaryDirectory(prefix="vae-grade-", ignore_cleanup_errors=True) as folder:
            process = subprocess.Popen(
                [*self._prefix, sys.executable, "-P", "-B", "-m", _runner.__name__],
                cwd=folder,
                env=_environment(folder) | {"VAE_GRADE": token},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            seen: dict[int, psutil.Process] = {}
            listener = threading.Thread(target=_listen, args=(process.stdout, told), daemon=True)
            listener.start()
            try:
                threading.Thread(target=_say, args=(process.stdin, job), daemon=True).start()
                while listener.is_alive() and b'"done"' not in told and not why:
                    if process.poll() is not None and process.returncode >= 0:
                        break  # below 0 the guard may have been killed, while the runner goes on
                    time.sleep(0.1)
                    why = "time" if time.monotonic() > deadline else self._beyond(process, folder, seen)
            finally:
                _end(seen, process, token)
                listener.join(5.0)
                with suppress(OSError):  # what it has not read is lost
                    process.stdin.close()
        answers = [each for each in map(_parsed, bytes(told).split(b"\n")) if each]
        done = any("done" in each for each in answers)
        return answers, "" if done else why or "ended"

    def _beyond(self, process: subprocess.Popen[bytes], folder: str, seen: dict[int, psutil.Process]) -> str:
        """Which limit the processes are beyond, if any; remembers them in `seen`."""
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            seen |= {each.pid: each for each in [parent, *parent.children(recursive=True)]}
        used = 0
        for each in seen.values():
            with suppress(psutil.Error):  # gone
                used += each.memory_info().rss if each.is_running() else 0
        if used > self._memory:
            return "memory"
        return "disk" if not self.apart and _size(folder) > _runner.DISK else ""

    def put_back(self) -> list[str]:
        """Puts back what a submission has changed, keeps the changed files aside, and names them."""
        if self.apart:
            return []
        now, before = self._files(), self._before
        changed = sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path))
        if changed:
            aside = Path(tempfile.mkdtemp(prefix="vae-grade-changed-"))
        for number, path in enumerate(changed):
            if path.exists() or path.is_symlink():
                shutil.move(path, aside / f"{number}-{path.name}")
            if before.get(path) is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(before[path])
        return [path.name for path in changed]

    def _files(self) -> dict[Path, bytes | None]:
        found: dict[Path, bytes | None] = {}
        for folder in self._watched:
            for path in folder.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    try:
                        found[path] = path.read_bytes()
                    except OSError:
                        found[path] = None
        return found


def _environment(folder: str) -> dict[str, str]:
    """That of the grader, but for everything that would lead out of the folder."""
    places = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR", "IPYTHONDIR", "XDG_CACHE_HOME")
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    fixed = {"MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    # Threads count as processes do, of which there is a limit.
    fixed |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(min(8, os.cpu_count() or 1)))}
    return os.environ | dict.fromkeys(places, folder) | fixed


def _say(stream: Any, job: dict[str, Any]) -> None:
    """Hands over the job; the stream stays open, as its end would tell the runner that the grader is gone."""
    with suppress(OSError):  # it has ended already
        stream.write(json.dumps(job).encode() + b"\n")
        stream.flush()


def _listen(stream: Any, told: bytearray) -> None:
    while len(told) < _ANSWER and (some := stream.read1(1 << 16)):
        told += some


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of the runner, or None for what is none: a submission that looks for it may write to it, too."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    formed = isinstance(found, dict) and {key: type(value) for key, value in found.items()} in _FORMS
    return found if formed else None


def _size(folder: str) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # gone
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _end(seen: dict[int, psutil.Process], process: subprocess.Popen[bytes], token: str) -> None:
    """Ends the process, all that came from it, and what it has left to itself and still bears its mark."""
    for _ in range(20):  # as it may start others meanwhile
        left = [each for each in seen.values() if each.is_running()]
        for each in psutil.process_iter():
            with suppress(psutil.Error):  # another's, or gone
                if each.pid == process.pid or each.environ().get("VAE_GRADE") == token:
                    left += [each, *each.children(recursive=True)]
        for each in left:
            with suppress(psutil.Error):
                each.kill()
        process.wait()
        if not left:
            return


def in_a_line(text: str) -> str:
    """Text that any file can hold in one line."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
