# The image of a controller: docs/production.md. Every base with apt will do.
ARG BASE_IMAGE=debian:12-slim

FROM ${BASE_IMAGE} AS build
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
COPY requirements requirements
# What is built here is built with the pinned setuptools, and neither it nor pip stays.
RUN set -eu; \
    pip="/opt/orchestry/bin/python -m pip --disable-pip-version-check"; \
    $pip install -q --no-cache-dir --require-hashes -r requirements/image-build.txt; \
    $pip install -q --no-cache-dir --no-compile --no-build-isolation --require-hashes \
        -r requirements/controller.txt -r requirements/postgres.txt; \
    mkdir /opt/share
COPY tools/sbom.py tools/sbom.py
RUN set -eu; \
    /opt/orchestry/bin/python tools/sbom.py requirements/controller.txt \
        requirements/postgres.txt >/opt/share/sbom.json; \
    /opt/orchestry/bin/python -m pip uninstall -q -y setuptools pip; \
    site=$(/opt/orchestry/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    echo /opt/orchestry-code >"$site/orchestry.pth"; \
    find /opt/orchestry -name __pycache__ -prune -exec rm -rf {} +; \
    /opt/orchestry/bin/python -m compileall -q --invalidation-mode unchecked-hash "$site"; \
    printf '#!/opt/orchestry/bin/python\nimport sys\nfrom orchestry.cli import main\nsys.exit(main())\n' \
        >/opt/orchestry/bin/orchestry; \
    chmod 755 /opt/orchestry/bin/orchestry
COPY orchestry /opt/orchestry-code/orchestry
COPY cluster /opt/orchestry-code/cluster
COPY api /opt/orchestry-code/api
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/orchestry-code

FROM ${BASE_IMAGE}
RUN set -eu; \
    packages=libpq5; \
    command -v python3 >/dev/null || packages="$packages python3"; \
    if ! dpkg-query -s $packages >/dev/null 2>&1; then \
        apt-get update; \
        apt-get install -y --no-install-recommends $packages; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log; \
    fi; \
    groupadd --gid 10001 orchestry; \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/orchestry \
        --shell /usr/sbin/nologin orchestry; \
    install -d -o orchestry -g orchestry -m 0700 /var/lib/orchestry
COPY LICENSE /usr/share/orchestry/LICENSE
COPY --from=build /opt/share/sbom.json /usr/share/orchestry/sbom.json
COPY --from=build /opt/orchestry /opt/orchestry
COPY --from=build /opt/orchestry-code /opt/orchestry-code
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
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Orchestry controller" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
