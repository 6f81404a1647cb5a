# The image of a controller: docs/production.md. Every base with apt will do.
ARG BASE_IMAGE=debian:12-slim

# What the image stands on. To be the same again, what a step makes has one time, and what the
# base has is not removed: Docker marks that with the time of the build.
FROM ${BASE_IMAGE} AS runtime
ARG SOURCE_DATE_EPOCH=0
RUN set -eu; \
    touch -d "-2 seconds" /tmp/begun; \
    packages=libpq5; \
    command -v python3 >/dev/null || packages="$packages python3"; \
    if ! dpkg-query -s $packages >/dev/null 2>&1; then \
        apt-get update; \
        apt-get install -y --no-install-recommends $packages; \
        apt-get clean; \
        find /var/lib/apt/lists -type f ! -name lock -delete; \
    fi; \
    groupadd --gid 10001 orchestry; \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/orchestry \
        --shell /usr/sbin/nologin orchestry; \
    install -d -o orchestry -g orchestry -m 0700 /var/lib/orchestry; \
    find /var/log /var/cache/ldconfig -type f -newer /tmp/begun -exec truncate -s 0 {} +; \
    find / -xdev -newer /tmp/begun ! -path /proc ! -path /sys ! -path /dev ! -path "/etc/host*" \
        ! -path /etc/resolv.conf -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; \
    rm /tmp/begun; touch -d "@$SOURCE_DATE_EPOCH" /tmp

FROM ${BASE_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
# pip's own settings, for mirrors; unset unless they are given.
ARG PIP_INDEX_URL
ARG PIP_CERT
# A base that has these packages, or a Python of its own, is taken as it is.
RUN set -eu; \
    packages="gcc libc6-dev libpq-dev"; \
    command -v python3 >/dev/null || packages="$packages python3-dev python3-venv"; \
    if ! dpkg-query -s $packages >/dev/null 2>&1; then \
        apt-get update; \
        apt-get install -y --no-install-recommends $packages; \
    fi; \
    python3 -m venv /opt/orchestry
WORKDIR /build
COPY requirements/controller.txt requirements/postgres.txt requirements/image-build.txt requirements/
# What is built here is built with the pinned setuptools, and neither it nor pip stays.
# Without debug information: it names a folder that has another name each time.
RUN set -eu; \
    export CFLAGS=-g0; \
    pip="/opt/orchestry/bin/python -m pip --disable-pip-version-check"; \
    $pip install -q --no-cache-dir --require-hashes -r requirements/image-build.txt; \
    $pip install -q --no-cache-dir --no-compile --no-build-isolation --require-hashes \
        -r requirements/controller.txt -r requirements/postgres.txt
COPY tools/sbom.py tools/sbom.py
COPY --from=runtime /var/lib/dpkg/status /usr/lib/os-release /build/
COPY LICENSE /packages/usr/share/orchestry/LICENSE
# As a tree that is copied to /: a folder that is copied to has the time of the build.
RUN set -eu; \
    /opt/orchestry/bin/python tools/sbom.py requirements/controller.txt \
        requirements/postgres.txt --debian status os-release \
        >/packages/usr/share/orchestry/sbom.json; \
    /opt/orchestry/bin/python -m pip uninstall -q -y setuptools pip; \
    site=$(/opt/orchestry/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    echo /opt/orchestry-code >"$site/orchestry.pth"; \
    find /opt/orchestry -name __pycache__ -prune -exec rm -rf {} +; \
    /opt/orchestry/bin/python -m compileall -q --invalidation-mode unchecked-hash "$site"; \
    printf '#!/opt/orchestry/bin/python\nimport sys\nfrom orchestry.cli import main\nsys.exit(main())\n' \
        >/opt/orchestry/bin/orchestry; \
    chmod 755 /opt/orchestry/bin/orchestry; \
    mkdir /packages/opt; \
    mv /opt/orchestry /packages/opt/orchestry; \
    find /packages -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
COPY orchestry /code/opt/orchestry-code/orchestry
COPY cluster /code/opt/orchestry-code/cluster
COPY api /code/opt/orchestry-code/api
RUN set -eu; \
    python3 -m compileall -q --invalidation-mode unchecked-hash -s /code -p / /code; \
    find /code -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM runtime
COPY --from=build /packages /
COPY --from=build /code /
ENV PATH=/opt/orchestry/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ORCHESTRY_HOST=0.0.0.0 ORCHESTRY_PORT=8000 ORCHESTRY_DATA_DIR=/var/lib/orchestry
# Docker's socket belongs to a group of the host: `--group-add`, or group_add in compose.
USER orchestry
WORKDIR /var/lib/orchestry
VOLUME /var/lib/orchestry
EXPOSE 8000 9000
# It asks itself, on loopback: whose certificate that is need not be shown.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-ISc", "import http.client, os, ssl, sys; e = os.environ; host = '127.0.0.1', int(e['ORCHESTRY_PORT']); t = ssl._create_unverified_context() if e.get('ORCHESTRY_TLS_CERT') else None; t and t.load_cert_chain(e['ORCHESTRY_TLS_CERT'], e['ORCHESTRY_TLS_KEY']); c = http.client.HTTPSConnection(*host, timeout=2, context=t) if t else http.client.HTTPConnection(*host, timeout=2); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["orchestry"]
CMD ["node"]
# Last, so that a new revision leaves all layers as they are.
ARG BASE_IMAGE
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Orchestry controller" \
    org.opencontainers.image.description="A controller of the container orchestrator Orchestry" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${BASE_IMAGE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
