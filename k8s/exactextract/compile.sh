#!/bin/sh
# In the build of an image: makes a wheel of exactextract from the source that the lock names, where PyPI has no wheel.
# Called as `compile.sh FOLDER`: what pip installs from is then in FOLDER: requirements.lock and, if one was made, the wheel,
# whose hash that lock has.
#   COMPILE_ON  the machine, as `uname -m` names it (aarch64); another one to try it there
set -eu
mkdir "$1"
to=$(cd "$1" && pwd)
cd "$(dirname "$0")"

if [ "$(uname -m)" != "$COMPILE_ON" ]; then
    cp requirements.lock "$to/"
    exit
fi
apt-get update -q
apt-get install -q --yes --no-install-recommends cmake g++ libgeos-dev ninja-build
pip install --only-binary :all: --require-hashes --requirement tools.lock

sed -n '/^exactextract==/,/[^\\]$/p' requirements.lock > source.lock
# A multiplication and an addition are rounded one after the other, as on amd64: joined, they would give other bits.
CXXFLAGS=-ffp-contract=off pip wheel --no-deps --no-build-isolation --no-binary exactextract \
    --require-hashes --requirement source.lock --wheel-dir made
auditwheel repair --wheel-dir "$to" made/exactextract-*.whl # puts GEOS into it

sed '/^exactextract==/,/[^\\]$/d' requirements.lock > "$to/requirements.lock"
printf '%s --hash=sha256:%s\n' "$(sed -n 's/^\(exactextract==[0-9.]*\).*/\1/p' source.lock)" \
    "$(sha256sum "$to"/*.whl | cut -c -64)" >> "$to/requirements.lock"
