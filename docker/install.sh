#!/bin/sh
# Make /opt/venv of exactly the packages of a requirements file with checksums: install.sh FILE
set -eu
uv venv --quiet --python python3.11 /opt/venv
uv pip sync --quiet --python /opt/venv/bin/python --require-hashes --only-binary :all: --no-cache --compile-bytecode \
    ${PACKAGE_INDEX:+--default-index "$PACKAGE_INDEX"} "$1"
