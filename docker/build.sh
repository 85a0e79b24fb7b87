#!/usr/bin/env bash
# Build an image with what this machine is told of packages: docker/build.sh cpu|gpu|train [TAG]
#
# Passed on are APT_MIRROR, PACKAGE_INDEX (or else pip's own setting) and CA_CERTIFICATES (or else the certificates that
# an administrator has added to this machine); see docker/Dockerfile.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?which one: cpu, gpu or train}
tag=${2:-signdex:$target}
file=docker/Dockerfile
if [ "$target" = train ]; then file=docker/train.Dockerfile; fi
index=${PACKAGE_INDEX-$(python3 -m pip config get global.index-url 2> /dev/null || true)}
certificates=${CA_CERTIFICATES-$(cat /usr/local/share/ca-certificates/*.crt 2> /dev/null || true)}
exec docker build --network host --file "$file" --target "$target" --tag "$tag" \
    --build-arg APT_MIRROR="${APT_MIRROR-}" --build-arg PACKAGE_INDEX="$index" \
    --build-arg CA_CERTIFICATES="$certificates" .
