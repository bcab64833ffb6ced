# kansearch in a virtual environment on Debian's Python 3.11.
#   docker build -t kansearch:0.1.0 .
#   docker run --rm -v "$PWD/studies:/kansearch/studies" kansearch:0.1.0 launch quickstart
ARG BASE=debian:bookworm-slim
FROM ${BASE}

RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# pip's options: by default the versions that the tests ran with, whose torch brings CUDA's libraries. For torch's
# smaller CPU wheels: --build-arg PIP_OPTIONS="--find-links FOLDER_OR_URL torch==VERSION+cpu"
ARG PIP_OPTIONS="-c constraints.txt"
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/kansearch \
    && /opt/kansearch/bin/pip install -q --no-cache-dir ${PIP_OPTIONS} '.[onnx,postgresql]' \
    && rm -rf /src/*

# a user without rights; studies lie in /kansearch/studies
RUN useradd --create-home kansearch && install -d -o kansearch -g kansearch /kansearch /kansearch/studies
ENV PATH=/opt/kansearch/bin:$PATH
USER kansearch
WORKDIR /kansearch
ENTRYPOINT ["kansearch"]
CMD ["--help"]
