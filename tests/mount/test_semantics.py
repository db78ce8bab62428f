"""What programs rely on, on a real mount: bytes, names, times, refusals."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.mounting import Mount, Mounted, Program, Simhost, until
from tests.mount.test_main_job import at_host, pattern, sh

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


@pytest.fixture
def mount(mounted: Mounted) -> Iterator[Mount]:
    with mounted("xvs") as mount:
        yield mount


def assert_fails(number: int, function: Callable[..., object], *args: object) -> None:
    with pytest.raises(OSError) as caught:
        function(*args)
    assert caught.value.errno == number, os.strerror(caught.value.errno or 0)


# ------------------------------------------------------------------------------ bytes


def test_random_writes_are_what_a_local_file_would_hold(mount: Mount, simhost: Simhost) -> None:
    dice = random.Random(7)
    mirror = bytearray()
    fd = os.open(mount.path / "a.mp4", os.O_RDWR | os.O_CREAT)
    for _ in range(300):
        if dice.random() < 0.1:
            size = dice.randrange(400_000)
            os.ftruncate(fd, size)
            mirror[size:] = b""
            mirror.extend(bytes(size - len(mirror)))
        else:
            at, data = dice.randrange(400_000), dice.randbytes(dice.randrange(1, 70_000))
            assert os.pwrite(fd, data, at) == len(data)
            mirror.extend(bytes(max(0, at - len(mirror))))
            mirror[at : at + len(data)] = data
        if dice.random() < 0.2:
            at = dice.randrange(400_000)
            assert os.pread(fd, 50_000, at) == bytes(mirror[at : at + 50_000])
        assert os.fstat(fd).st_size == len(mirror)
    os.close(fd)
    assert (mount.path / "a.mp4").read_bytes() == mirror
    mount.wait()
    assert at_host(simhost, "xvs") == {"a.mp4": bytes(mirror)}


def test_append_truncate_and_patch_what_is_at_the_host(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    content = pattern(1_000_000, 1)
    simhost.add_file("xvs", "a.mp4", content)
    simhost.add_file("xvs", "b.mp4", content)
    simhost.add_file("xvs", "c.mp4", content)
    simhost.add_file("xvs", "d.mp4", content)
    with mounted("xvs") as mount:
        with (mount.path / "a.mp4").open("ab") as file:
            file.write(b"more")
        os.truncate(mount.path / "b.mp4", 500_000)
        with (mount.path / "c.mp4").open("r+b") as file:
            file.seek(300_000)
            file.write(b"PATCH")
        with (mount.path / "d.mp4").open("wb") as file:
            file.write(b"new")
        expected = {
            "a.mp4": content + b"more",
            "b.mp4": content[:500_000],
            "c.mp4": content[:300_000] + b"PATCH" + content[300_005:],
            "d.mp4": b"new",
        }
        for name, wanted in expected.items():
            assert (mount.path / name).read_bytes() == wanted, name
        mount.wait()
        assert at_host(simhost, "xvs") == expected
        for name, wanted in expected.items():
            assert (mount.path / name).read_bytes() == wanted, name
            assert (mount.path / name).stat().st_size == len(wanted)


def test_appends_of_several_processes_do_not_overwrite_each_other(mount: Mount) -> None:
    path = mount.path / "log.mp4"
    path.touch()
    script = f"for i in 1 2 3 4 5 6 7 8 9 10; do echo $0 $i >> '{path}'; done"
    writers = [subprocess.Popen(["sh", "-c", script, str(number)]) for number in range(4)]
    assert [writer.wait(30) for writer in writers] == [0] * 4
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"{n} {i}" for n in range(4) for i in range(1, 11))


def test_mmap_reads_and_writes(mount: Mount, simhost: Simhost) -> None:
    content = pattern(300_000, 2)
    (mount.path / "a.mp4").write_bytes(content)
    with (mount.path / "a.mp4").open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        assert view[100_000:100_010] == content[100_000:100_010]
        view[200_000:200_005] = b"PATCH"
        view.flush()
    changed = content[:200_000] + b"PATCH" + content[200_005:]
    assert (mount.path / "a.mp4").read_bytes() == changed
    mount.wait()
    assert at_host(simhost, "xvs") == {"a.mp4": changed}


def test_a_mapping_that_outlives_its_descriptor_is_written_back(
    mount: Mount, simhost: Simhost
) -> None:
    (mount.path / "a.mp4").write_bytes(bytes(100_000))
    fd = os.open(mount.path / "a.mp4", os.O_RDWR)
    view = mmap.mmap(fd, 0)
    os.close(fd)
    view[50_000:50_004] = b"late"
    view.close()
    expected = bytes(50_000) + b"late" + bytes(49_996)
    until(lambda: (mount.path / "a.mp4").read_bytes() == expected, "the write")
    mount.wait()
    until(lambda: at_host(simhost, "xvs") == {"a.mp4": expected}, "the upload")


def test_a_file_is_read_by_others_while_it_is_written(mount: Mount, simhost: Simhost) -> None:
    content = pattern(2_000_000, 3)
    path, copy = mount.path / "a.mp4", mount.path / "b.mp4"
    at, ended = 0, threading.Event()
    wrong: list[int] = []

    def follow() -> None:
        with path.open("rb", buffering=0) as file:
            while not ended.is_set():
                start = max(0, at - 10_000)  # so the kernel reads the page that grows, too
                found = os.pread(file.fileno(), 20_000, start)
                if found != content[start : start + len(found)]:
                    wrong.append(start)

    with path.open("wb", buffering=0) as file:
        reader = threading.Thread(target=follow)
        reader.start()
        while at < len(content):
            at += file.write(content[at : at + 1 + at % 7000])
        ended.set()
        reader.join(30)
        with path.open("rb") as source, mmap.mmap(source.fileno(), 0, mmap.MAP_PRIVATE) as view:
            assert view[:] == content
            with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
                mmap.mmap(source.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    assert not wrong
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert view[:] == content
        with copy.open("wb", buffering=0) as target:
            assert os.sendfile(target.fileno(), source.fileno(), 0, 700_001) == 700_001
            copied = os.copy_file_range(source.fileno(), target.fileno(), 500_000, 700_001)
            target.seek(700_001 + copied)
            target.write(view[target.tell() :])  # from pages of the same mount
    assert copy.read_bytes() == content
    mount.wait()
    assert at_host(simhost, "xvs") == {"a.mp4": content, "b.mp4": content}


def test_holes_read_as_zeros(mount: Mount) -> None:
    with (mount.path / "a.mp4").open("wb") as file:
        file.seek(1_000_000)
        file.write(b"x")
    assert (mount.path / "a.mp4").read_bytes() == bytes(1_000_000) + b"x"


def test_an_unlinked_file_lives_as_long_as_it_is_open(mount: Mount, simhost: Simhost) -> None:
    path = mount.path / "a.mp4"
    with path.open("w+b") as file:
        file.write(b"some")
        file.flush()
        path.unlink()
        assert not path.exists()
        path.write_bytes(b"another")
        file.write(b"more")
        file.seek(0)
        assert file.read() == b"somemore"
        assert os.fstat(file.fileno()).st_size == 8
    mount.wait()
    assert at_host(simhost, "xvs") == {"a.mp4": b"another"}


def test_a_file_is_renamed_and_replaced_while_it_is_open(mount: Mount, simhost: Simhost) -> None:
    (mount.path / "b.mp4").write_bytes(b"victim")
    mount.wait()
    with (mount.path / "b.mp4").open("rb") as old, (mount.path / "a.mp4").open("w+b") as file:
        file.write(b"some")
        file.flush()
        (mount.path / "a.mp4").rename(mount.path / "b.mp4")
        file.write(b"more")
        file.flush()
        assert (mount.path / "b.mp4").read_bytes() == b"somemore"
        assert old.read() == b"victim"
    mount.wait()
    assert at_host(simhost, "xvs") == {"b.mp4": b"somemore"}


def test_many_threads_read_one_film_that_only_the_host_has(
    simhost: Simhost, mounted: Mounted
) -> None:
    content = pattern(30 << 20, 4)
    simhost.add_file("xvs", "a.mp4", content)
    wrong: list[int] = []

    def read(fd: int, at: int) -> None:
        for offset in range(at, at + 500_000, 100_000):
            if os.pread(fd, 70_000, offset) != content[offset : offset + 70_000]:
                wrong.append(offset)

    with mounted("xvs") as mount:
        fd = os.open(mount.path / "a.mp4", os.O_RDONLY)
        threads = [threading.Thread(target=read, args=(fd, n * (5 << 19))) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a reader hangs"
        os.close(fd)
    assert wrong == []


def test_a_name_that_is_no_utf8_comes_back_the_same(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    names = [
        b"caf\xe9.mp4",
        b"\xc3\xa9t\xe9.mp4",
        "x\uef00\uef80.mp4".encode(),
        "y\uef80.mp4".encode(),
    ]
    with mounted("xvs") as mount:
        root, folder = os.fsencode(mount.path), os.fsencode(mount.path) + b"/\xff"
        os.mkdir(folder)
        for name in names[:2]:
            Path(os.fsdecode(root + b"/" + name)).write_bytes(name)
        os.rename(root + b"/" + names[1], folder + b"/" + names[1])
        mount.wait()
        assert json.loads(vidfs.ok("ls", "--json", os.fsdecode(folder)))
    for name in names[2:]:
        simhost.add_file("xvs", name.decode(), name)
    shutil.rmtree(vidfs.root / "cache")
    shutil.rmtree(vidfs.state_root)  # all that is known comes from the host
    with mounted("xvs") as mount:
        shown = [names[0], b"x\x80.mp4", names[3]]
        assert sorted(os.listdir(root)) == sorted([b"\xff", *shown])
        assert os.listdir(folder) == [names[1]]
        for name, content in zip(shown, [names[0], *names[2:]], strict=True):
            assert Path(os.fsdecode(root + b"/" + name)).read_bytes() == content


def test_what_is_touched_later_is_never_older(mount: Mount) -> None:
    written, touched = mount.path / "a.mp4", mount.path / "b.mp4"
    touched.touch()
    for _ in range(20):  # the kernel's clock ticks every few milliseconds
        written.write_bytes(b"film")
        os.utime(touched)
        assert touched.stat().st_mtime_ns >= written.stat().st_mtime_ns


def test_an_open_file_without_a_name_says_so(mount: Mount) -> None:
    removed, replaced, other = (mount.path / name for name in ("1.mp4", "2.mp4", "3.mp4"))
    for path in (removed, replaced, other):
        path.write_bytes(b"film")
    with removed.open("rb") as one, replaced.open("rb") as two:
        removed.unlink()
        other.rename(replaced)
        assert [os.fstat(file.fileno()).st_nlink for file in (one, two)] == [0, 0]
        assert (one.read(), two.read()) == (b"film", b"film")
    assert replaced.stat().st_nlink == 1


def test_an_empty_file_emptied_again_is_newer(mount: Mount) -> None:
    stamp = mount.path / "stamp.mp4"
    stamp.touch()
    os.utime(stamp, (1, 1))
    stamp.open("w").close()
    assert stamp.stat().st_mtime > 1
    os.utime(stamp, (1, 1))
    os.truncate(stamp, 0)
    assert stamp.stat().st_mtime > 1


# ------------------------------------------------------------------------------ refusals


def test_what_is_too_long_or_too_big_is_refused_and_the_mount_lives(mount: Mount) -> None:
    long, longest = "x" * 252 + ".mp4", "x" * 251 + ".mp4"
    for function in (os.stat, os.mkdir, os.unlink, lambda p: os.open(p, os.O_CREAT | os.O_RDWR)):
        assert_fails(errno.ENAMETOOLONG, function, mount.path / long)
    (mount.path / longest).write_bytes(b"film")
    assert_fails(errno.ENAMETOOLONG, os.rename, mount.path / longest, mount.path / long)
    for size in (999 << 40, (1 << 63) - 1, (8 << 40) + 1):
        assert_fails(errno.EFBIG, os.truncate, mount.path / longest, size)
    with (mount.path / longest).open("r+b") as file:
        assert_fails(errno.EFBIG, os.ftruncate, file.fileno(), 999 << 40)
        assert_fails(errno.EFBIG, os.pwrite, file.fileno(), b"x", 999 << 40)
    assert (mount.path / longest).read_bytes() == b"film"
    assert os.listdir(mount.path) == [longest]


def test_links_and_special_files_are_refused(mount: Mount) -> None:
    path = mount.path / "a.mp4"
    path.write_bytes(b"film")
    assert_fails(errno.EPERM, os.link, path, mount.path / "b.mp4")
    assert_fails(errno.EPERM, os.symlink, "a.mp4", mount.path / "b.mp4")
    assert_fails(errno.EPERM, os.mkfifo, mount.path / "b.mp4")


def test_names_answer_as_posix_says(mount: Mount) -> None:
    folder, path = mount.path / "Films", mount.path / "a.mp4"
    folder.mkdir()
    path.write_bytes(b"film")
    (folder / "b.mp4").write_bytes(b"film")
    assert_fails(errno.EEXIST, os.mkdir, folder)
    assert_fails(errno.EEXIST, os.mkdir, path)
    assert_fails(errno.EEXIST, os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert_fails(errno.ENOENT, os.stat, mount.path / "none.mp4")
    assert_fails(errno.ENOENT, os.unlink, mount.path / "none.mp4")
    assert_fails(errno.ENOENT, os.rename, mount.path / "none.mp4", path)
    assert_fails(errno.EISDIR, os.unlink, folder)
    assert_fails(errno.ENOTDIR, os.rmdir, path)
    assert_fails(errno.ENOTDIR, os.listdir, path)
    assert_fails(errno.ENOTEMPTY, os.rmdir, folder)
    assert_fails(errno.EISDIR, os.rename, path, folder)
    assert_fails(errno.ENOTDIR, os.rename, folder, path)
    assert_fails(errno.EINVAL, os.rename, folder, folder / "inside")
    assert_fails(errno.EMEDIUMTYPE, os.open, mount.path / "a.txt", os.O_CREAT | os.O_WRONLY)
    assert_fails(errno.EMEDIUMTYPE, os.rename, path, mount.path / "a.txt")
    assert path.read_bytes() == b"film"
    assert (folder / "b.mp4").read_bytes() == b"film"


def renameat2(old: Path, new: Path, flags: int) -> int:
    """0, or the errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    at_fdcwd = -100
    done = libc.renameat2(at_fdcwd, os.fsencode(old), at_fdcwd, os.fsencode(new), flags)
    return ctypes.get_errno() if done else 0


def test_rename_flags(mount: Mount) -> None:
    one, two, three = (mount.path / name for name in ("1.mp4", "2.mp4", "3.mp4"))
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert renameat2(one, two, RENAME_NOREPLACE) == errno.EEXIST
    assert renameat2(one, two, RENAME_EXCHANGE) == errno.EINVAL
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    assert renameat2(one, three, RENAME_NOREPLACE) == 0
    assert sorted(os.listdir(mount.path)) == ["2.mp4", "3.mp4"]


def test_reading_what_cannot_be_read_is_refused_at_open(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.add_file("vipstream", "theirs.mp4", b"theirs")
    with mounted("vipstream") as mount:
        (mount.path / "ours.mp4").write_bytes(b"ours")
        mount.wait()
        assert (mount.path / "ours.mp4").read_bytes() == b"ours"
        for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY):
            assert_fails(errno.EOPNOTSUPP, os.open, mount.path / "theirs.mp4", flags)
    shutil.rmtree(vidfs.root / "cache")
    with mounted("vipstream") as mount:
        assert_fails(errno.EOPNOTSUPP, os.open, mount.path / "ours.mp4", os.O_RDONLY)
        (mount.path / "theirs.mp4").write_bytes(b"now ours")
        assert (mount.path / "theirs.mp4").read_bytes() == b"now ours"
        mount.wait()
    assert at_host(simhost, "vipstream") == {"ours.mp4": b"ours", "theirs.mp4": b"now ours"}


def test_a_read_only_mount_changes_nothing(simhost: Simhost, mounted: Mounted) -> None:
    simhost.add_file("xvs", "a.mp4", b"film", folder="Films")
    with mounted("xvs", ro=True) as mount:
        path = mount.path / "Films" / "a.mp4"
        assert path.read_bytes() == b"film"
        assert_fails(errno.EROFS, os.open, path, os.O_WRONLY)
        assert_fails(errno.EROFS, os.unlink, path)
        assert_fails(errno.EROFS, os.mkdir, mount.path / "New")
        assert_fails(errno.EROFS, os.rename, path, mount.path / "b.mp4")
        assert_fails(errno.EROFS, os.truncate, path, 0)
        assert_fails(errno.EROFS, os.utime, path)
    assert at_host(simhost, "xvs") == {"Films/a.mp4": b"film"}


# ------------------------------------------------------------------------------ attributes


def test_statfs_says_how_long_a_name_may_be(mount: Mount) -> None:
    space = os.statvfs(mount.path)
    assert space.f_namemax == 255
    assert space.f_bavail > 0
    assert space.f_bavail <= space.f_blocks


def test_times_that_fit_nowhere_become_the_nearest_that_do(mount: Mount) -> None:
    path = mount.path / "a.mp4"
    path.write_bytes(b"film")
    os.utime(path, (2**40, 2**40))
    assert path.stat().st_mtime == pytest.approx(2**63 / 1e9)
    os.utime(path, (-(2**40), -(2**40)))
    assert path.stat().st_mtime == pytest.approx(-(2**63) / 1e9)


def test_a_file_that_is_removed_again_and_again_can_always_be_made(mount: Mount) -> None:
    """Between looking a name up and opening what it meant another may remove it."""
    path = mount.path / "a.mp4"
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            path.unlink(missing_ok=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for _ in range(1000):
            path.open("ab").close()
    finally:
        stop.set()
        thread.join()


def test_times_and_inode_numbers_are_kept(simhost: Simhost, mounted: Mounted) -> None:
    simhost.add_file("xvs", "theirs.mp4", b"theirs", folder="Films")
    mtime_ns = 1_234_567_890_123_456_789
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(b"film")
        (mount.path / "Films" / "b.mp4").write_bytes(b"film")
        os.utime(mount.path / "a.mp4", ns=(mtime_ns, mtime_ns))
        mount.wait()
        os.utime(mount.path / "Films" / "theirs.mp4", ns=(mtime_ns + 1, mtime_ns + 1))
        (mount.path / "a.mp4").rename(mount.path / "Films" / "c.mp4")
        before = {p: p.stat() for p in [mount.path, *mount.path.rglob("*")]}
    with mounted("xvs") as mount:
        after = {p: p.stat() for p in [mount.path, *mount.path.rglob("*")]}
        assert {p: s.st_ino for p, s in after.items()} == {p: s.st_ino for p, s in before.items()}
        assert (mount.path / "Films" / "c.mp4").stat().st_mtime_ns == mtime_ns
        assert (mount.path / "Films" / "theirs.mp4").stat().st_mtime_ns == mtime_ns + 1
        numbers = {s.st_ino for s in after.values()}
        (mount.path / "Films" / "c.mp4").unlink()
        (mount.path / "Films" / "d.mp4").write_bytes(b"film")
        assert (mount.path / "Films" / "d.mp4").stat().st_ino not in numbers, "given twice"
    assert len(before) == 5


def test_mode_and_owner_can_be_set_without_effect(mount: Mount) -> None:
    path = mount.path / "a.mp4"
    path.write_bytes(b"film")
    path.chmod(0o600)
    os.chown(path, os.getuid(), os.getgid())
    assert path.stat().st_mode & 0o777 == 0o644
    assert mount.path.stat().st_mode & 0o777 == 0o755


def test_extended_attributes_are_read_by_getfattr(mount: Mount, simhost: Simhost) -> None:
    path = mount.path / "a.mp4"
    path.write_bytes(b"film")
    mount.wait()
    said = sh("getfattr", "--absolute-names", "-d", path)
    [file] = simhost.files("xvs").values()
    assert f'user.vidfs.code="{file["code"]}"' in said
    assert 'user.vidfs.upload="done"' in said
    one = sh("getfattr", "--absolute-names", "--only-values", "-n", "user.vidfs.code", path)
    assert one == file["code"]
    sh("setfattr", "-n", "user.vidfs.description", "-v", "about", path)
    assert os.getxattr(path, "user.vidfs.description") == b"about"
    assert_fails(errno.ENODATA, os.getxattr, path, "user.none")
    assert_fails(errno.EOPNOTSUPP, os.setxattr, path, "user.none", b"x")
    assert_fails(errno.EPERM, os.setxattr, path, "user.vidfs.code", b"x")


def test_locks_work_between_processes(mount: Mount) -> None:
    path = mount.path / "a.mp4"
    path.write_bytes(b"film")
    with path.open("r+b") as one, path.open("r+b") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        assert_fails(errno.EWOULDBLOCK, fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)


# ------------------------------------------------------------------------------ the host


def test_changes_at_the_host_reach_programs_that_look(simhost: Simhost, mounted: Mounted) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with mounted("xvs", dir_ttl=1) as mount:
        assert os.listdir(mount.path) == ["a.mp4"]
        code = simhost.add_file("xvs", "b.mp4", b"newer")
        until(lambda: sorted(os.listdir(mount.path)) == ["a.mp4", "b.mp4"], "the new file")
        assert (mount.path / "b.mp4").read_bytes() == b"newer"
        simhost.request("DELETE", f"xvs/files/{code}")
        until(lambda: os.listdir(mount.path) == ["a.mp4"], "the end of the file")
        until(lambda: not (mount.path / "b.mp4").exists(), "the end of the name")


@pytest.mark.parametrize("account", ["xvs", "fruithosted"])
def test_an_ls_loop_sees_what_others_add_and_remove_within_dir_ttl(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    simhost.add_file(account, "a.mp4", b"film", folder="Films")
    seen = tmp_path / "seen"
    with mounted(account, dir_ttl=2) as mount:
        script = 'while ls "$0/Films" > "$1.new"; do mv "$1.new" "$1"; sleep 0.1; done'
        loop = subprocess.Popen(["sh", "-c", script, mount.path, seen])
        try:
            until(lambda: seen.exists() and seen.read_text() == "a.mp4\n", "the first ls")
            assert not (mount.path / "Films" / "b.mp4").exists()  # the kernel keeps that, too
            code = simhost.add_file(account, "b.mp4", b"newer", folder="Films")
            # One second for the host, the refresh that follows an old listing, and the loop.
            until(lambda: "b.mp4" in seen.read_text(), "the new file", timeout_s=2 + 3)
            assert (mount.path / "Films" / "b.mp4").exists()
            simhost.request("DELETE", f"{account}/files/{code}")
            until(lambda: "b.mp4" not in seen.read_text(), "its end", timeout_s=2 + 3)
            assert not (mount.path / "Films" / "b.mp4").exists()
        finally:
            loop.kill()
            loop.wait()


def test_a_hundred_stuck_requests_do_not_freeze_the_mount(mount: Mount, simhost: Simhost) -> None:
    (mount.path / "a.mp4").write_bytes(b"film")
    mount.wait()
    for number in range(100):
        simhost.add_file("xvs", f"x{number}.mp4", b"film")
    mount.program.ok("refresh", str(mount.path))
    names = [name for name in os.listdir(mount.path) if name.startswith("x")]
    assert len(names) == 100
    simhost.fault("xvs:file/direct_link:hang", "xvs:download:hang")
    readers = [subprocess.Popen(["cat", mount.path / name], stdout=-3, stderr=-3) for name in names]
    try:
        (mount.path / "b.mp4").write_bytes(b"meanwhile")
        assert (mount.path / "b.mp4").read_bytes() == b"meanwhile"
        assert (mount.path / "a.mp4").read_bytes() == b"film"
        assert sum(reader.poll() is None for reader in readers) > 90
    finally:
        for reader in readers:
            reader.kill()
        # The kernel lets a killed reader go when its request is answered.
        simhost.stop()
        simhost.start()
        for reader in readers:
            reader.wait(60)
