# Training on a GPU: `docker build --file docker/train.Dockerfile --target train --tag signdex:train .`
#
# The whole checkout with torch, and EGL for the synthetic signer. Run it with the data mounted, e.g.
#   docker run --rm --gpus all --ipc host --volume /srv/runs:/data signdex:train -m training.pretrain paper --set output=/data/run
# Arguments and first steps are those of docker/Dockerfile, which explains them.

FROM debian:bookworm-slim AS python
# Where Debian's packages come from, e.g. http://mirror.lan; empty: from where the base image says.
ARG APT_MIRROR=""
RUN cp -a /etc/apt /tmp/apt \
    && find /etc/apt \( -name '*.list' -o -name '*.sources' \) \
        -exec sed -i "s|http://[^/ ]*|${APT_MIRROR:-&}|" {} + \
    && apt-get -qq update \
    && apt-get -qq install --yes --no-install-recommends python3.11 libegl1 libgl1-mesa-dri \
    && apt-get clean \
    && rm -rf /etc/apt /var/lib/apt/lists/* /var/log/* \
    && mv /tmp/apt /etc/apt

FROM python AS build
ARG APT_MIRROR=""
RUN find /etc/apt \( -name '*.list' -o -name '*.sources' \) \
        -exec sed -i "s|http://[^/ ]*|${APT_MIRROR:-&}|" {} + \
    && apt-get -qq update \
    && apt-get -qq install --yes --no-install-recommends ca-certificates python3.11-venv
ARG CA_CERTIFICATES=""
RUN echo "$CA_CERTIFICATES" > /usr/local/share/ca-certificates/builder.crt && update-ca-certificates
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
ARG PACKAGE_INDEX=""
ARG UV_VERSION=0.13.9
RUN python3.11 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet ${PACKAGE_INDEX:+--index-url "$PACKAGE_INDEX"} "uv==$UV_VERSION"
ENV PATH=/opt/uv/bin:$PATH UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_HTTP_TIMEOUT=600
WORKDIR /build
COPY docker/install.sh pyproject.toml uv.lock ./
# Training and serving on a GPU: evaluation looks up what was trained.
RUN uv export --frozen --quiet --no-default-groups --group gpu --group train --group translate --no-emit-project \
        --no-annotate --no-header --output-file train.txt \
    && ./install.sh train.txt

FROM python AS train
RUN groupadd --gid 10001 signdex \
    && useradd --uid 10001 --gid signdex --create-home --shell /usr/sbin/nologin signdex \
    && install --directory --owner signdex --group signdex /data
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics
WORKDIR /opt/signdex
COPY --from=build /opt/venv /opt/venv
COPY pyproject.toml ./
COPY app app
COPY index index
COPY model model
COPY training training
USER signdex
ENTRYPOINT ["python"]
