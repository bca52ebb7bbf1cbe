# syntax=docker/dockerfile:1
#
#   docker build -t suki-receiver .
#   docker run --read-only -v suki-data:/data -p 8080:8080 \
#       -v ./secrets:/run/secrets:ro -e SUKI_RECEIVER__SIGNATURE__SECRET_FILE=/run/secrets/suki-hmac suki-receiver
#
# Nothing but /data is written to, and the user is 65532, who must be able to read the secrets. `docker stop` needs more time than server.drain_timeout: --stop-timeout 30.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Has the binary carry the list of what it is linked with, so that scanners of images find it.
RUN cargo install --locked cargo-auditable@0.7.7
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY src src
# Cache mounts keep the crates and what was compiled of them between builds. The binary is copied out since the mount is
# no part of the layer. The empty folder becomes /data.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo auditable build --profile dist --locked --bin suki-receiver \
    && cp target/dist/suki-receiver /suki-receiver \
    && mkdir /empty

# The builder's Debian, so that the libc fits, without the compiler. Nothing is installed: the CA certificates that
# outgoing TLS is checked against come from the builder.
FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.title="suki-receiver" \
      org.opencontainers.image.description="Receives, keeps, follows and delivers Suki session notifications" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /suki-receiver /usr/local/bin/suki-receiver
COPY docs/THIRD-PARTY-LICENSES /usr/share/doc/suki-receiver/
# The reference, which equals the defaults. Mount your own over it.
COPY config/receiver.toml /etc/suki-receiver/receiver.toml
# A new volume takes over the owner and the mode of this folder.
COPY --from=build --chown=65532:65532 --chmod=700 /empty /data
# The defaults are relative to here: data/receiver.db is /data/receiver.db. No ENV sets a key, since the environment wins
# over the file and what is set here would silently win over the file that you mount.
WORKDIR /
USER 65532:65532
VOLUME /data
# 9464 (metrics, API) listens on loopback. To reach it from outside the container set SUKI_RECEIVER__ADMIN__LISTEN to
# 0.0.0.0:9464, a token by SUKI_RECEIVER__ADMIN__TOKEN_FILE, and [admin.tls], or SUKI_RECEIVER__ADMIN__INSECURE=true where
# something in front ends TLS.
EXPOSE 8080 9464
# It asks the address that the configuration has.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/suki-receiver", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/suki-receiver"]
CMD ["serve"]
