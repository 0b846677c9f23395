"""Runs the cells of one submission, and then the course's own checks, in the process that `grade` starts.

It reads a job (one line of JSON) from the standard input, and writes what it finds to the standard output, a
line of JSON each; the submission itself gets neither of the two. It ends when its input ends.
"""

from __future__ import annotations

import builtins
import ctypes
import importlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

READ_ALL = 1 << 2  # the capability to read every file
PROCESSES = 512  # of one submission, threads too
DISK = 1 << 30  # bytes


class Slow(KeyboardInterrupt):
    """A cell or a check took more than its share of the time; as if somebody had lost patience with it."""

    def __str__(self) -> str:
        """The same in each run."""
        return "stopped, as it took more than half of the time that was left"


def main() -> None:
    """Takes the job, confines itself and works."""
    job = json.loads(sys.stdin.buffer.readline())
    ours, watched, null = os.dup(1), os.dup(0), os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    process = os.getpid()

    def tell(**found: Any) -> None:
        if os.getpid() != process:
            os._exit(1)  # the submission has forked, and this is the copy
        os.write(ours, json.dumps(found).encode() + b"\n")

    def end_with_grader() -> None:
        os.read(watched, 1)
        os._exit(1)

    threading.Thread(target=end_with_grader, daemon=True).start()
    _limit(job["memory"])
    if job["apart"]:
        _read_only()
    if hasattr(os, "geteuid") and os.geteuid() == 0 and job["uid"]:
        _become(job["uid"])
    elif job["apart"]:
        _drop(0)
    tell(ready=True)
    _work(job, tell)


def _work(job: dict[str, Any], tell: Callable[..., None]) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    checks = [getattr(importlib.import_module(each["module"]), each["check"]) for each in job["exercises"]]
    before = _patchable()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    answers: dict[str, Any] = {}
    deadline = time.monotonic() + job["seconds"]
    for place, source in job["cells"]:
        if place in job["without"]:
            continue
        tell(cell=place)
        bound = {each["function"]: shell.user_ns.get(each["function"]) for each in job["exercises"]}
        error: BaseException | None = None
        try:
            with _share(deadline), _silence():
                result = shell.run_cell(source)
                error = result.error_before_exec or result.error_in_exec
        except BaseException as raised:
            error = raised
        if error is not None:
            tell(failed=place, why=_said(error))
        if source.strip() not in job["own"]:  # a function of the lesson with the same name is no answer
            found = {name: shell.user_ns.get(name) for name in bound}
            answers |= {name: value for name, value in found.items() if value is not bound[name]}
    for each, check in zip(job["exercises"], checks, strict=True):
        number, answer = each["number"], answers.get(each["function"])
        if answer is None or number in job["found"]:
            continue
        tell(checking=number)
        _put_back(before)
        try:
            with _share(deadline), _silence():
                if not callable(answer):
                    codes, message = ["no-function"], f"{each['function']} is no function"
                else:
                    report = check(answer)
                    codes, message = sorted(report.codes), report.message
                    if codes == ["error"] and "MemoryError" in message:
                        codes = ["memory"]
        except Slow as slow:
            codes, message = ["time"], str(slow)
        except BaseException as raised:
            codes, message = ["error"], _said(raised)
        tell(exercise=number, codes=codes, message=message[:2000])
    tell(done=True)


def _said(error: BaseException) -> str:
    try:
        return str(error) if isinstance(error, Slow) else f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # an exception of the submission's own, whose text raises
        return type(error).__name__


@contextmanager
def _share(deadline: float) -> Iterator[None]:
    """Gives what is run half of the time that is left, so that something stays for the rest."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    seconds = max(0.5, (deadline - time.monotonic()) / 2)

    def ring(*_: Any) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again and again, for one may be swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _silence() -> Iterator[None]:
    """New streams, as a submission may have closed the old ones, that lead nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as out, open(os.devnull, encoding="utf-8") as empty:
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = out
        sys.stdin = empty
        yield


# ---- what a submission may have put in the place of something else ----------------------------


def _patchable() -> list[tuple[Any, dict[str, Any]]]:
    """The course's modules and classes, NumPy and the builtins, each with its attributes."""
    owners = [builtins]
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("vae_helpers", "numpy"):
            owners.append(module)
            owners += [v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == name]
    return [(owner, dict(vars(owner))) for owner in owners]


def _put_back(before: list[tuple[Any, dict[str, Any]]]) -> None:
    for owner, attributes in before:
        for name, value in attributes.items():
            if vars(owner).get(name) is not value:
                with suppress(AttributeError, TypeError):
                    setattr(owner, name, value)


# ---- what the operating system keeps from a submission ----------------------------------------


def _limit(memory: int) -> None:
    """Limits on memory, on single files, and on what a crash writes."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    limits = {"RLIMIT_DATA": memory, "RLIMIT_FSIZE": DISK, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        with suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _ok(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _read_only() -> None:
    """In a mount namespace of one's own: nothing can be written to but the working directory and /dev/shm."""
    import resource

    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    os.setsid()  # or a signal to its own group would reach outside
    here = os.getcwd()
    wanted = (ctypes.c_uint64 * 4)(1)  # struct mount_attr: set MOUNT_ATTR_RDONLY
    recursive, mount_setattr = 0x8000, 442
    _ok(_libc().syscall(mount_setattr, -100, b"/", recursive, ctypes.byref(wanted), ctypes.sizeof(wanted)))
    for place in (here, "/dev/shm"):
        if os.path.isdir(place):
            options = f"mode=1777,size={DISK}".encode()
            _ok(_libc().mount(b"tmpfs", place.encode(), b"tmpfs", 6, options))  # 6: nosuid, nodev
    os.chdir(here)


def _become(uid: int) -> None:
    """Goes on as a user to whom nothing belongs but the working directory."""
    os.chown(".", uid, uid)
    if sys.platform == "linux":
        _libc().prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setgid(uid)
    needed = [path for path in (os.__file__, *sys.path) if os.path.exists(path)]
    os.setuid(uid)
    # Where Python or a package lies in a folder of root's: to read, and nothing else.
    readable = all(os.access(path, os.R_OK) for path in needed)
    _drop(0 if readable else READ_ALL)


def _drop(kept: int) -> None:
    """Gives up all capabilities but these, for good."""
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(kept, kept)
    if sys.platform == "linux":
        _ok(_libc().prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
        _ok(_libc().capset(header, data))
        _ok(_libc().prctl(1, signal.SIGKILL, 0, 0, 0))  # PR_SET_PDEATHSIG: a change of user clears it


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
    os._exit(0)  # at once, whatever the submission has registered for the end
