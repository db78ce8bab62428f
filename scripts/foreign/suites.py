"""The suites, each a function of a place that gives what became of every test in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foreign.places import Place, emptied

HERE = Path(__file__).parent
PYTEST_S = 600
MODULE_S = 150

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Outcome:
    name: str
    result: str
    message: str = ""


@dataclass(frozen=True)
class Tools:
    foreign_python: Path  # of the environment that has the suites from PyPI
    cpython: Path  # Debian's, whose own tests are installed
    stress_s: int


Suite = Callable[[Place, Tools], Iterable[Outcome]]


def run_in(folder: Path, words: Sequence[str], timeout_s: float) -> tuple[int | None, str, str]:
    """Exit status (None: it hung and was ended), stdout, stderr."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        | {"TMPDIR": str(folder), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, error = process.communicate(timeout=timeout_s)
        return process.returncode, out, error
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, error = process.communicate()
        return None, out, error


# --- PyPI ---------------------------------------------------------------------------------------


def _pytest(file: str) -> Suite:
    def suite(place: Place, tools: Tools) -> Iterator[Outcome]:
        if not place.makes_folders:
            return
        report = place.path / f".{file}.xml"  # a scratch name: stays here
        with emptied(place) as folder:
            words = [str(tools.foreign_python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            words += [f"--junitxml={report}", "-c", os.devnull, str(HERE / file)]
            status, out, error = run_in(folder, words, PYTEST_S)
        if status is None or not report.exists():
            yield Outcome(file, FAILED, "hung" if status is None else out + error)
            return
        yield from _junit(report)
        report.unlink()

    return suite


def _junit(report: Path) -> Iterator[Outcome]:
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        for kind, result in (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED)):
            if (found := case.find(kind)) is not None:
                yield Outcome(name, result, f"{found.get('message')}\n{found.text}")
                break
        else:
            yield Outcome(name, PASSED)


# --- fio ----------------------------------------------------------------------------------------

_FIO = {
    "sequential": "--rw=write --bs=1M --size=64M",
    "random 4k": "--rw=randwrite --bs=4k --size=16M",
    "random mixed": "--rw=randrw --bsrange=512-64k --size=16M",
    "mmap": "--ioengine=mmap --rw=randwrite --bs=4k --size=16M",
    "four writers": "--rw=randwrite --bs=16k --size=8M --numjobs=4",
    "one file, two writers": "--rw=randwrite --bs=16k --size=8M --numjobs=2 --filename=shared"
    " --offset_increment=8M",
    "with fsync": "--rw=write --bs=64k --size=4M --fsync=8",
}


def fio(place: Place, tools: Tools) -> Iterator[Outcome]:
    """Written, read again and verified; the last once more after it came from the host."""
    for name, options in _FIO.items():
        with emptied(place) as folder:
            yield _fio(folder, name, f"{options} --do_verify=1")
    with emptied(place) as folder:
        options = "--rw=write --bs=256k --size=24M --filename=kept"
        written = _fio(folder, "from the host", f"{options} --do_verify=0")
        place.settle()
        yield (
            written
            if written.result == FAILED
            else _fio(folder, "from the host", f"{options} --verify_only")
        )


def _fio(folder: Path, name: str, options: str) -> Outcome:
    engine = [] if "ioengine" in options else ["--ioengine=psync"]
    words = ["fio", "--name=job", "--verify=crc32c", "--verify_fatal=1", "--allow_file_create=1"]
    status, out, error = run_in(folder, [*words, *engine, *options.split()], 120)
    return Outcome(name, PASSED if status == 0 else FAILED, _said(status, out + error))


def _said(status: int | None, text: str) -> str:
    return "hung" if status is None else text


# --- stress-ng ----------------------------------------------------------------------------------

STRESSORS = (
    "access chdir copy-file dentry dir dirdeep dirmany dnotify dup fallocate fcntl fiemap"
    " file-ioctl filename flock fpunch fsize fstat getdent handle hdd inode-flags inotify io iomix"
    " ioprio lease locka lockf lockofd open rename sync-file touch utime xattr"
).split()
STRESSORS_LEFT_OUT = {
    "link, symlink, mknod": "no host keeps links and special files",
    "chmod, chown": "accepted, not kept",
    "bind-mount, binderfs, eventfd, procfs, verity, chattr, fanotify": "about other things",
}


def stress(place: Place, tools: Tools) -> Iterator[Outcome]:
    if not place.makes_folders:
        return  # each makes one to work in
    for stressor in STRESSORS:
        with emptied(place) as folder:
            words = ["stress-ng", f"--{stressor}", "1", "--timeout", f"{tools.stress_s}s"]
            words += ["--verify", "--temp-path", str(folder)]
            status, out, error = run_in(folder, words, tools.stress_s + 60)
        said = "\n".join(
            re.findall(r"(?:fail|error|info): .*(?:fail|skip|not supp).*", out + error)
        )
        if status == 3 or (status == 0 and "skipping stress" in said):
            yield Outcome(stressor, SKIPPED, said)
        else:
            yield Outcome(stressor, PASSED if status == 0 else FAILED, _said(status, said))


# --- CPython ------------------------------------------------------------------------------------

ONE_FILE = (
    "test_io test_fileio test_file test_bufio test_mmap test_largefile test_zipfile test_gzip"
    " test_bz2 test_lzma test_fileinput test_fcntl"
).split()
WITH_FOLDERS = (
    "test_os test_posix test_shutil test_tempfile test_tarfile test_glob test_pathlib"
    " test_filecmp test_dbm test_dbm_dumb test_shelve test_mailbox test_posixpath"
    " test_genericpath test_zipimport test_logging"
).split()


def cpython(place: Place, tools: Tools) -> Iterator[Outcome]:
    for module in [*ONE_FILE, *(WITH_FOLDERS if place.makes_folders else [])]:
        yield from unittests(place, tools, [module])


def unittests(place: Place, tools: Tools, names: Sequence[str]) -> Iterator[Outcome]:
    with emptied(place) as folder:
        words = [str(tools.cpython), str(HERE / "run_unittests.py"), *names]
        status, out, error = run_in(folder, words, MODULE_S)
    for line in out.splitlines():
        name, result, message = json.loads(line)
        yield Outcome(name.removeprefix("test."), result, message)
    if status != 0:
        yield Outcome(f"{' '.join(names)} as a whole", FAILED, _said(status, error))


SUITES: dict[str, Suite] = {
    "pyfilesystem": _pytest("run_fs.py"),
    "fsspec": _pytest("run_fsspec.py"),
    "fio": fio,
    "stress-ng": stress,
    "cpython": cpython,
}
