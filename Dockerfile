# Squall in an image: one static binary and nothing else. Build the binary first (no build tool is needed in the image):
#
#   RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile dist --target x86_64-unknown-linux-gnu
#   docker build -t squall .
#
# Run an experiment from inside: the engine's socket, a volume for the state (without one Squall refuses to disturb
# anything: what knows how to take a fault back must outlive the container), and the host's PIDs for `kill: { via: host }`:
#
#   docker run --rm --network=host --pid=host --cap-add KILL --cap-add SYS_PTRACE \
#     -v /var/run/docker.sock:/var/run/docker.sock -v squall-state:/var/lib/squall \
#     -v "$PWD/experiments:/experiments:ro" squall run /experiments/kill-one-shop.yaml
FROM scratch
COPY target/x86_64-unknown-linux-gnu/dist/squall /usr/local/bin/squall
ENV PATH=/usr/local/bin
VOLUME /var/lib/squall
ENTRYPOINT ["/usr/local/bin/squall"]
CMD ["--help"]
