# Sourced by the scripts beside it; does nothing by itself.
#
#   need_debian WHAT=PACKAGE…  installs the Debian packages whose WHAT is missing. WHAT is a program,
#                              an absolute path, `module:NAME` for pkg-config, or `python:headers`.
#   need_fuse                  stops with the reason where this machine or user can't mount.
#   need_venv GROUP…           makes .venv ready: vidfs (editable) and these dependency groups;
#                              made anew whenever pyproject.toml or the Python changed.
#
# Quiet: one line for each thing that takes time, and the whole log if it fails.
# All of it is idempotent; where nothing is missing it takes a tenth of a second.
# shellcheck shell=bash

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$repo/.venv
me=${0##*/}

die() {
  printf '%s: %s\n' "$me" "$*" >&2
  exit 1
}

# quietly WHAT COMMAND…: one line on stderr, the command's output only if it fails.
quietly() {
  local what=$1 log status=0
  shift
  log=$(mktemp)
  printf '%s: %s\n' "$me" "$what" >&2
  "$@" </dev/null >"$log" 2>&1 || status=$?
  if ((status)); then
    cat "$log" >&2
    rm -f "$log"
    die "$what: failed (exit $status): ${*:1:8}"
  fi
  rm -f "$log"
}

# Programs in sbin count as there, whatever the caller's PATH.
have() {
  case $1 in
    module:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#module:}" ;;
    python:headers)
      python=$(find_python) || return 1
      [[ -e $("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]]
      ;;
    python:venv) python=$(find_python) && "$python" -c 'import ensurepip, venv' 2>/dev/null ;;
    python) find_python >/dev/null ;;
    /*) [[ -e $1 ]] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
  esac
}

need_debian() {
  local pair missing=() as_root=()
  for pair in "$@"; do
    have "${pair%%=*}" || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    die "please install what Debian calls: ${missing[*]} (no apt-get here to do it)"
  if ((EUID)); then
    command -v sudo >/dev/null || die "please install as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  [[ ${apt_is_fresh:-} ]] || quietly "looking up Debian's packages" "${as_root[@]}" apt-get update
  apt_is_fresh=yes
  quietly "installing ${missing[*]}" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
  for pair in "$@"; do
    have "${pair%%=*}" || die "${pair#*=} is installed, but ${pair%%=*} is still missing"
  done
}

need_fuse() {
  need_debian fusermount3=fuse3
  [[ -e /dev/fuse ]] ||
    die "no /dev/fuse: load the kernel module (modprobe fuse), or give the container the device"
  [[ -r /dev/fuse && -w /dev/fuse ]] || die "this user may not open /dev/fuse"
}

# The first Python that is new enough, by its usual names.
find_python() {
  local name
  for name in python3 python3.11 python3.12 python3.13 python3.14; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# What a finished .venv was made from. Its own path is part: a venv can't be moved.
venv_recipe() {
  sha256sum <"$repo/pyproject.toml"
  printf '%s\n' "$venv"
  "$1" -c 'import sys; print(sys.version)'
}

need_venv() {
  local python group recipe lock
  mkdir -p "$repo/.cache"
  exec {lock}>"$repo/.cache/setup.lock"
  flock "$lock" # two scripts at once make one .venv
  if [[ -x $venv/bin/python ]] &&
    recipe=$(venv_recipe "$venv/bin/python" 2>/dev/null) &&
    [[ $recipe == "$(cat "$venv/recipe" 2>/dev/null)" ]]; then
    :
  else
    need_debian python=python3
    # pyfuse3 is compiled here, which takes its headers and Python's.
    need_debian gcc=gcc /usr/include/stdlib.h=libc6-dev pkg-config=pkg-config \
      module:fuse3=libfuse3-dev python:venv=python3-venv python:headers=python3-dev
    python=$(find_python)
    rm -rf "$venv"
    quietly "making .venv" "$python" -m venv "$venv"
    quietly "upgrading pip" "$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
    quietly "installing vidfs and what it needs (a minute)" \
      "$venv/bin/python" -m pip install --quiet --editable "$repo"
    venv_recipe "$venv/bin/python" >"$venv/recipe"
  fi
  for group in "$@"; do
    [[ -e $venv/group-$group ]] && continue
    quietly "installing the dependency group $group" \
      "$venv/bin/python" -m pip install --quiet --group "$repo/pyproject.toml:$group"
    touch "$venv/group-$group"
  done
  exec {lock}>&-
}
