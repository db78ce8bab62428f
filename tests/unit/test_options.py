"""Mount options, sources, sizes, durations and rates."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidfs.config import (
    SCRATCH_DEFAULT,
    MountOptions,
    Source,
    option_names,
    parse_duration,
    parse_mount_options,
    parse_rate,
    parse_size,
    parse_source,
)
from vidfs.errors import UsageError


def test_every_option_is_typed() -> None:
    options = parse_mount_options(
        [
            "ro,allow_other,uid=1000,gid=100,umask=027,upload=close,uploads=8,bwlimit=2M",
            "dir_ttl=5m,dir_stale=2h,sizes=uploaded,cache_size=20G,cache_dir=/c,state_dir=/s",
            "delete=deny,scratch=*.x:.y*,other_files=upload,api_rate=120/m,api_parallel=3",
            "log_file=/l,config=/k,debug",
        ]
    )
    assert options == MountOptions(
        read_only=True,
        allow_other=True,
        uid=1000,
        gid=100,
        umask=0o027,
        upload_on_close=True,
        uploads_max=8,
        bwlimit_bytes_s=2 << 20,
        dir_ttl_s=300.0,
        dir_stale_s=7200.0,
        sizes="uploaded",
        cache_size_bytes=20 << 30,
        cache_dir="/c",
        state_dir="/s",
        delete_deny=True,
        scratch=("*.x", ".y*"),
        other_files="upload",
        api_rate_per_s=2.0,
        api_parallel=3,
        log_file="/l",
        config_file="/k",
        debug=True,
    )


def test_nothing_given_is_the_default() -> None:
    options = parse_mount_options([])
    assert options == MountOptions()
    assert options.scratch == SCRATCH_DEFAULT
    assert not options.upload_on_close
    assert options.dir_ttl_s == 60
    assert options.dir_stale_s == 600
    assert options.uploads_max == 4


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour=red", "'colour'"),
        ("ro,uploadz=3", "'uploadz' (did you mean upload?)"),
        ("ro=1", "option ro: takes no value"),
        ("uploads", "option uploads: needs a value"),
        ("uploads=", "option uploads: needs a value"),
        ("uploads=0", "option uploads=0: must be a number from 1 to 64"),
        ("uploads=x", "option uploads=x"),
        ("uploads=-1", "option uploads=-1"),
        ("upload=later", "option upload=later: must be one of background, close"),
        ("umask=999", "option umask=999"),
        ("uid=no-such-user-here", "option uid=no-such-user-here: there is no such user"),
        ("cache_size=ten", "option cache_size=ten"),
        ("dir_ttl=1w", "option dir_ttl=1w"),
        ("api_rate=0", "option api_rate=0"),
        ("delete=yes", "option delete=yes"),
        ("sizes=real", "option sizes=real"),
        ("remount", "'remount'"),
        ("allow_other,allow_root", "allow_root"),
        ("key=abc", "'key'"),
    ],
)
def test_wrong_options_are_named(text: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_mount_options([text])
    assert named in str(caught.value)


def test_what_mount_passes_along_is_accepted() -> None:
    text = (
        "rw,noauto,auto,nofail,_netdev,user,user=joe,nouser,users,owner,group,defaults,suid,dev,"
        "exec,relatime,x-systemd.automount,x-systemd.idle-timeout=60,x-gvfs-hide,X-mount.mkdir,"
        "comment=mine"
    )
    assert parse_mount_options([text]) == MountOptions()


def test_flags_for_the_kernel_reach_it() -> None:
    assert parse_mount_options(["noexec,noatime,nosuid,noexec"]).kernel_flags == (
        "noexec",
        "noatime",
        "nosuid",
    )


def test_the_later_of_two_counts() -> None:
    assert not parse_mount_options(["ro", "rw"]).read_only
    assert parse_mount_options(["uploads=2,uploads=3"]).uploads_max == 3


def test_sloppy_passes_over_unknown_ones_alone() -> None:
    assert parse_mount_options(["colour=red,ro"], sloppy=True).read_only
    with pytest.raises(UsageError):
        parse_mount_options(["uploads=x"], sloppy=True)


def test_commas_can_stand_in_values_and_paths_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_mount_options(["log_file=a\\,b,ro"]).log_file == str(tmp_path / "a,b")
    assert parse_mount_options(["scratch="]).scratch == ()
    assert parse_mount_options(["bwlimit=off"]).bwlimit_bytes_s is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *[("0", 0), ("1500", 1500), ("64k", 65536), ("500M", 500 << 20), ("10G", 10 << 30)],
        *[("1.5GiB", 3 << 29), ("2TB", 2 << 40), ("7b", 7)],
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("60", 60.0), ("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("2d", 172800.0)],
        *[("250ms", 0.25), ("0", 0.0)],
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "rate"), [("5", 5.0), ("5/s", 5.0), ("90/min", 1.5)])
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "-1", "1e9", "٣", "5 5", "k", "1.G"])
def test_nonsense_is_no_quantity(text: str) -> None:
    for parse in (parse_size, parse_duration, parse_rate):
        with pytest.raises(UsageError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "source", "shown"),
    [
        ("films", Source("films"), "films"),
        ("films:", Source("films"), "films"),
        ("films:/", Source("films"), "films"),
        ("films:/Old/1999/", Source("films", "Old/1999"), "films:/Old/1999"),
        ("films:/a:b c", Source("films", "a:b c"), "films:/a:b c"),
    ],
)
def test_sources(text: str, source: Source, shown: str) -> None:
    assert parse_source(text) == source
    assert str(source) == shown


@pytest.mark.parametrize("text", ["", ":/x", "films:Old", "a/b", "films:/../x", "films:/a/./b"])
def test_nonsense_is_no_source(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)


def test_every_field_can_be_set() -> None:
    fields = set(MountOptions.__slots__)
    defaults = MountOptions()
    samples = {"uid": "1", "gid": "1", "umask": "7", "upload": "close", "uploads": "2"}
    samples |= {"bwlimit": "1", "dir_ttl": "1", "dir_stale": "1", "sizes": "uploaded"}
    samples |= {"cache_size": "1", "cache_dir": "/x", "state_dir": "/x", "config": "/x"}
    samples |= {"delete": "deny", "scratch": "x", "other_files": "local", "api_rate": "1"}
    samples |= {"api_parallel": "1", "log_file": "/x"}
    texts = [f"{name}={samples[name]}" if name in samples else name for name in option_names()]
    changed: set[str] = set()
    for text in [*texts, "noexec"]:
        options = parse_mount_options([text])
        changed |= {f for f in fields if getattr(options, f) != getattr(defaults, f)}
    assert changed == fields
