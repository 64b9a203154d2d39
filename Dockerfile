# syntax=docker/dockerfile:1
# usher alone: its binary, the four files of glibc that it is linked to, and what is known of its parts. No shell, no package
# manager, no CA bundle (the public roots are in the binary). docs/image.md says how to build, run and check it.
ARG RUST=docker.io/library/rust:1.95-slim-bookworm

FROM ${RUST} AS tools
ARG CARGO_AUDITABLE=0.7.7
ARG CARGO_CYCLONEDX=0.5.9
# Unoptimised: each of them runs once.
RUN cargo install --debug --locked --root /tools "cargo-auditable@${CARGO_AUDITABLE}" "cargo-cyclonedx@${CARGO_CYCLONEDX}"

FROM ${RUST} AS build
COPY --from=tools /tools/bin/ /usr/local/bin/
WORKDIR /usher
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# As Cargo.toml has them; a build that is only to be tried may say 1, `off` and 16.
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL=3
ARG CARGO_PROFILE_RELEASE_LTO=thin
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
ARG CARGO_PROFILE_RELEASE_STRIP=symbols
ARG FEATURES="otel"
# The dependencies, in a layer that a change of src leaves alone. Cargo itself can do that with an empty main, so no further
# tool is needed; the clean takes away only usher's own part, whose files may look older than what was built from the stub.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src examples && echo 'fn main() {}' > src/main.rs && touch src/lib.rs examples/fuzz_seeds.rs \
 && cargo auditable build --release --locked --no-default-features --features "${FEATURES}" \
 && cargo clean --release --locked --package usher
COPY templates templates
COPY src src
RUN cargo auditable build --release --locked --no-default-features --features "${FEATURES}" --bin usher
RUN cargo cyclonedx --format json --spec-version 1.5 --no-default-features --features "${FEATURES}" \
      --target "$(rustc -vV | sed -n 's/^host: //p')"

# What the image has, as a tree. Group 0 may write the state too: some clusters run each container under a user id of their own
# and this group.
COPY LICENSE ./
RUN set -eu; root=/image; \
    mkdir -p "$root/etc/usher" "$root/var/lib/dpkg/status.d" "$root/usr/bin" "$root/usr/share/usher" /state/usher; \
    install -m 0755 target/release/usher "$root/usr/bin/usher"; \
    ldd target/release/usher | sed -n 's/^[^/]*\(\/[^ ]*\) .*/\1/p' | xargs cp --dereference --parents --target-directory "$root"; \
    echo 'usher:x:65532:65532:usher:/var/lib/usher:/usr/bin/usher' > "$root/etc/passwd"; \
    echo 'usher:x:65532:' > "$root/etc/group"; \
    echo 'hosts: files dns' > "$root/etc/nsswitch.conf"; \
    for package in libc6 libgcc-s1; do \
      dpkg-query --status "$package" > "$root/var/lib/dpkg/status.d/$package"; \
      install -D -m 0644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"; \
    done; \
    cp /etc/os-release "$root/etc/os-release"; \
    install -m 0644 LICENSE "$root/usr/share/usher/LICENSE"; \
    install -m 0644 usher.cdx.json "$root/usr/share/usher/usher.cdx.json"; \
    chown 65532:0 /state/usher; chmod 0770 /state/usher

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:0 /state/ /var/lib/
USER 65532:65532
ENV USHER_CONFIG=/etc/usher/usher.yaml
# The store, unless the config has it elsewhere. All else may be read-only.
VOLUME ["/var/lib/usher"]
WORKDIR /var/lib/usher
# Apps, admin, metrics.
EXPOSE 4180 4181 4182
STOPSIGNAL SIGTERM
# Asks /readyz at the config's `metrics.listen`.
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --retries=3 CMD ["/usr/bin/usher", "healthcheck"]
ENTRYPOINT ["/usr/bin/usher"]
CMD ["run"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="usher" \
      org.opencontainers.image.description="A reverse-proxy authentication sidecar: OIDC and SAML sign-in, SCIM, just-in-time accounts, signed identity headers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
