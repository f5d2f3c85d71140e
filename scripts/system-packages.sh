#!/bin/sh
# Installs what is missing of the system packages that sera needs, on Debian and its relatives.
#   git      reads repositories and takes patches      bash     the shell of every sandbox
#   python3  with venv: runs sera, and is what rollouts run the repository's code with
# The sandbox needs no package: it asks the kernel directly for namespaces. The tests of container backends start
# engines of their own: TESTS=docker (make test) installs Debian's docker.io, about 100 MB, and TESTS=1 (make soak,
# make bench) podman too. Where neither can be installed, those tests skip and say so.
set -eu
python=${PYTHON:-python3.11}
missing=""
command -v git >/dev/null || missing="$missing git"
command -v bash >/dev/null || missing="$missing bash"
command -v "$python" >/dev/null || missing="$missing python3"
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
engines=""
if [ -n "${TESTS:-}" ]; then
    command -v dockerd >/dev/null || engines="docker.io"
    [ "$TESTS" = docker ] || command -v podman >/dev/null || engines="$engines podman runc"
fi
[ -n "$missing$engines" ] || exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
    [ -z "$engines" ] || echo "tests of containers will skip without $engines" >&2
    [ -n "$missing" ] || exit 0
    echo "sera needs$missing: please install them, then run make again" >&2
    exit 1
fi
install() {
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
echo "installing$missing $engines"
$as_root apt-get update -qq
[ -z "$missing" ] || install $missing
[ -z "$engines" ] || install $engines || echo "tests of containers will skip without $engines" >&2
