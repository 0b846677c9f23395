"""Where submissions run: processes with limits, gone afterwards, on a copy of the course of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from vae_helpers.classroom import _runner

PACKAGE = Path(_runner.__file__).parents[1]
START = 90.0  # seconds that a process may take until it comes to the first cell
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
    """Runs jobs, each in processes that are gone afterwards, with the course as it was at the start.

    Args:
        memory: bytes that a job may take.
        exercises: whose checks have to fit into it.

    Attributes:
        apart: whether the system keeps a job from everything but its own folder.

    Raises:
        RuntimeError: no process starts here.
        ValueError: a run without any cell needs more memory.
    """

    def __init__(self, memory: int, exercises: list[dict[str, Any]]) -> None:
        self._memory = memory
        self._course = {path.relative_to(PACKAGE.parent): path.read_bytes() for path in of_the_course()}
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        unshare = _UNSHARE + ([] if root else ["--user", "--map-root-user"])
        namespaces = [True] if sys.platform == "linux" and shutil.which("unshare") else []
        empty = {"cells": [], "exercises": exercises, "own": [], "without": [], "found": [], "seconds": 1.0}
        for self.apart, self._uid in [*((each, UID) for each in namespaces), (False, UID), (False, 0)]:
            self._prefix = unshare if self.apart else _GUARD
            self._uid *= root
            told, why, _ = self.run(empty, 1.0)
            if why == "memory" or any("ready" in each for each in told):
                break
        else:
            raise RuntimeError("expected a process that could run submissions, got none that starts")
        if why:
            wanted = "memory: expected as much as a run without any cell takes"
            raise ValueError(f"{wanted}, got {memory / 1e9:g} GB, with which it did not come to its end")

    def run(self, job: dict[str, Any], seconds: float) -> tuple[list[dict[str, Any]], str, float]:
        """Runs a job; its time counts from its first cell on, and a step may take half of what is left.

        Returns:
            What the runner tells; why it was stopped or ended, "" if it has come to its end; the seconds
            that are left.
        """
        job = job | {"memory": self._memory, "apart": self.apart, "uid": self._uid}
        token = os.urandom(8).hex()
        told, why, steps = bytearray(), "", 0
        with tempfile.TemporaryDirectory(prefix="vae-grade-", ignore_cleanup_errors=True) as folder:
            course, here = Path(folder, "course"), Path(folder, "here")
            self._write(course)
            here.mkdir()
            os.chmod(folder, 0o755)  # to look at, for a user of its own
            process = subprocess.Popen(
                [*self._prefix, sys.executable, "-P", "-B", "-m", _runner.__name__],
                cwd=here,
                env=_environment(str(here), str(course)) | {"VAE_GRADE": token},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            began = now = time.monotonic()
            limit = deadline = now + START
            seen: dict[int, psutil.Process] = {}
            listener = threading.Thread(target=_listen, args=(process.stdout, told), daemon=True)
            listener.start()
            try:
                threading.Thread(target=_say, args=(process.stdin, job), daemon=True).start()
                while listener.is_alive() and b'"done"' not in told and not why:
                    if process.poll() is not None and process.returncode >= 0:
                        break  # below 0 the guard may have been killed, while the runner goes on
                    time.sleep(0.1)
                    now, before, steps = time.monotonic(), steps, _steps(told)
                    if steps > before:
                        if not before:
                            began, deadline = now, now + seconds
                        limit = now + (deadline - now) / 2 + 0.5  # later than the runner's own alarm
                    why = "time" if now > min(limit, deadline) else self._beyond(process, folder, seen)
            finally:
                _end(seen, process, token)
                listener.join(5.0)
                with suppress(OSError):  # what it has not read is lost
                    process.stdin.close()
        answers = [each for each in map(_parsed, bytes(told).split(b"\n")) if each]
        done = any("done" in each for each in answers)
        return answers, "" if done else why or "ended", seconds - (now - began if steps else 0.0)

    def _write(self, course: Path) -> None:
        """Writes the course as it was at the start."""
        for path, content in self._course.items():
            (course / path).parent.mkdir(parents=True, exist_ok=True)
            (course / path).write_bytes(content)

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


def of_the_course() -> Iterator[Path]:
    """The files that submissions need: the package and its pictures."""
    for folder in (PACKAGE, PACKAGE.parent / "figures"):
        yield from (path for path in _files(folder) if "__pycache__" not in path.parts)


def checksums(folders: list[Path]) -> dict[Path, bytes]:
    """A checksum of each file of the course and of those below the folders."""
    found = {}
    for path in [*of_the_course(), *(path for folder in folders for path in _files(folder))]:
        with suppress(OSError), path.open("rb") as file:  # gone, or not to be read
            found[path] = hashlib.file_digest(file, "blake2b").digest()
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _environment(folder: str, course: str) -> dict[str, str]:
    """That of the grader, but for everything that would lead out of the folder, and with this course."""
    places = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR", "IPYTHONDIR", "XDG_CACHE_HOME")
    path = os.pathsep.join(filter(None, (course, os.environ.get("PYTHONPATH"))))
    fixed = {"MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    # Threads count as processes do, of which there is a limit.
    fixed |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(min(8, os.cpu_count() or 1)))}
    return os.environ | dict.fromkeys(places, folder) | fixed


def _steps(told: bytearray) -> int:
    """How many cells and checks have begun."""
    return told.count(b'{"cell": ') + told.count(b'{"checking": ')


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
