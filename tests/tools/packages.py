"""vidfs as it is published: built once for all tests of it, installed as its script does."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(kind: str, target: Path) -> Path:
    """The `wheel` or `sdist` of this directory, put into *target*."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    [made] = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def install_environ() -> dict[str, str]:
    """For `scripts/install` and what it installs: only vidfs itself, nothing over the network.

    What vidfs needs is this Python's. With VIDFS_TEST_FULL_INSTALL set all of it is installed,
    pyfuse3 compiled included: two minutes.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDFS_")}
    if os.environ.get("VIDFS_TEST_FULL_INSTALL"):
        kept.pop("PYTHONPATH", None)
        return kept
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": sysconfig.get_path("platlib"),
    }


def run_install(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/install", *args],
        env=install_environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
