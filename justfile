# just --list

# Unit and integration tests; they need Rust and a C compiler alone.
test *ARGS:
    cargo test --locked {{ARGS}}

# Formatting, lints, and the build that goes into production.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    cargo check --locked --no-default-features

# An IdP, an app and usher between them: http://localhost:4180
demo *ARGS:
    cargo run --locked -- demo {{ARGS}}

# The attack cases; FILE replaces the built-in list.
attacks FILE="":
    {{ if FILE == "" { "" } else { "USHER_ATTACKS=" + FILE } }} cargo test --locked attacks -- --nocapture

# The attacks that press and are judged by the latency of others; nothing else should run beside them.
loads:
    cargo test --locked --test it attacks::loads -- --ignored --nocapture

# Takes each check of SAML messages out, one after the other, in a crate of its own; a test must fail. It takes some minutes.
saml-removal *WORDS:
    tests/removal/run {{WORDS}}

# The time and memory that each message of the SAML corpus takes, in a release build.
saml-limits:
    cargo test --release --locked --test it saml::corpus::limits::no_message -- --ignored --nocapture

# Keycloak, oidc-provider, h2spec and Chromium: all, or those named (keycloak oidc-provider h2spec demo pages).
interop *SUITES:
    tests/interop/run {{SUITES}}

# The pages in light and dark, on a desk and on a phone: target/interop/screenshots
screenshots:
    tests/interop/run demo pages

# Side by side with nginx and pingora-proxy on one core; then 100,000 sessions.
bench *ARGS:
    bench/run {{ARGS}}

# The fuzz targets, SECONDS each: all, or those named (scan c14n signature response redirect).
fuzz SECONDS="600" *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# Licences, sources and banned crates (cargo install --locked cargo-deny).
deny:
    cargo deny check bans licenses sources

# What runs before a change lands.
ci:
    bash .ci/run
