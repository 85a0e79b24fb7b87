#!/usr/bin/env bash
# Make the base image debian:bookworm-slim of Debian's packages, as root, where no image registry can be reached:
# docker/base.sh [MIRROR [TAG]]; without a mirror Debian's own. Needs the package mmdebstrap.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm "$folder/base.tar" ${1:+"$1"}
docker import "$folder/base.tar" "${2:-debian:bookworm-slim}"
