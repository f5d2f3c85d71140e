#!/bin/sh
# Installs what is missing of the system packages that sera needs, on Debian and its relatives.
#   git      reads repositories and takes patches      bash     the shell of every sandbox
#   python3  with venv: runs sera, and is what rollouts run the repository's code with
# The sandbox needs no package: it asks the kernel directly for namespaces. The tests of container backends
# skip without an engine; with TESTS=1 Debian's are installed too (about 150 MB; the tests start their own).
set -eu
python=${PYTHON:-python3.11}
missing=""
command -v git >/dev/null || missing="$missing git"
command -v bash >/dev/null || missing="$missing bash"
command -v "$python" >/dev/null || missing="$missing python3"
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "${TESTS:-}" ]; then
    command -v dockerd >/dev/null || missing="$missing docker.io"
    command -v podman >/dev/null || missing="$missing podman runc"
fi
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
    echo "sera needs$missing: please install them, then run make again" >&2
    exit 1
fi
echo "installing$missing"
$as_root apt-get update -qq
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
