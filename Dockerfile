# Kiln in containers: one image per service, from one build.
#
#   docker build --target gateway -t kiln/gateway .      # or migrate, build-service, notifier, executor, git
#
# compose.yaml builds and runs them all. Every service runs as the user kiln (uid 10001) and writes only below /var/lib/kiln.

FROM debian:bookworm-slim AS build
# The same packages that ./dev installs.
COPY deploy/dev/packages.sh /tmp/packages.sh
RUN bash -c '. /tmp/packages.sh && apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $PACKAGES_BUILD' && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release && \
    cmake --build --preset release --target kiln-migrate kiln-gateway kiln-build-service kiln-notifier kiln-executor && \
    strip --strip-debug build/release/bin/kiln-*

FROM debian:bookworm-slim AS base
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libcjson1 libcurl4 libh2o-evloop0.13 libjemalloc2 libpcre2-8-0 libpq5 librdkafka1 libssl3 libzstd1 zlib1g && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 kiln && \
    useradd --uid 10001 --gid kiln --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kiln && \
    install -d -o kiln -g kiln -m 0700 /var/lib/kiln
COPY deploy/compose/kiln-healthy /usr/local/bin/kiln-healthy
# Whatever the umask of the clone was.
RUN chmod 0755 /usr/local/bin/kiln-healthy
USER kiln
WORKDIR /var/lib/kiln
# The port is not published: only for the container's health and for Prometheus on the same network.
ENV KILN_OPS_ADDRESS=0.0.0.0 KILN_OPS_PORT=9100

FROM base AS migrate
COPY --from=build /src/build/release/bin/kiln-migrate /usr/local/bin/
ENTRYPOINT ["kiln-migrate"]

FROM base AS gateway
USER root
RUN install -d -o kiln -g kiln -m 0755 /var/lib/kiln/artifacts
USER kiln
COPY --from=build /src/build/release/bin/kiln-gateway /usr/local/bin/
ENV KILN_LISTEN=0.0.0.0:8080 \
    KILN_ARTIFACTS_DIR=/var/lib/kiln/artifacts
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["kiln-healthy"]
ENTRYPOINT ["kiln-gateway"]

FROM base AS build-service
COPY --from=build /src/build/release/bin/kiln-build-service /usr/local/bin/
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["kiln-healthy"]
ENTRYPOINT ["kiln-build-service"]

FROM base AS notifier
COPY --from=build /src/build/release/bin/kiln-notifier /usr/local/bin/
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["kiln-healthy"]
ENTRYPOINT ["kiln-notifier"]

# Agents run in here: derive from it to add compilers and tools that they need.
FROM base AS executor
USER root
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bubblewrap git libgit2-1.5 libseccomp2 openssh-client && \
    rm -rf /var/lib/apt/lists/* && \
    install -d -o kiln -g kiln -m 0700 /var/lib/kiln/state && \
    install -d -o kiln -g kiln -m 0755 /var/lib/kiln/artifacts
USER kiln
COPY --from=build /src/build/release/bin/kiln-executor /src/build/release/bin/kiln-sandbox-init /usr/local/bin/
ENV KILN_STATE_DIR=/var/lib/kiln/state \
    KILN_ARTIFACTS_DIR=/var/lib/kiln/artifacts \
    KILN_CREDENTIALS_DIR=/etc/kiln/credentials \
    KILN_COMMAND_AGENTS_DIR=/etc/kiln/agents
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["kiln-healthy"]
ENTRYPOINT ["kiln-executor"]

# A small git server, so that `docker compose up` is complete. Not for production.
FROM debian:bookworm-slim AS git
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git python3 && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 kiln && \
    useradd --uid 10001 --gid kiln --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kiln && \
    install -d -o kiln -g kiln /srv/git
COPY tests/support/git-server/*.py /opt/git-server/
RUN chmod -R a+rX /opt/git-server
USER kiln
EXPOSE 8418
ENTRYPOINT ["python3", "-B", "/opt/git-server/git_server.py", "--root", "/srv/git", "--listen", "0.0.0.0:8418"]
