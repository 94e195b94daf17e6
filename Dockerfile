# Zeuxis on a CPU, with its models, and what draws faster and writes videos; runs as a user without rights, in /work (--user: as you).
#
#   docker build -t zeuxis .
#   docker run --rm --user "$(id -u)" -v "$PWD:/work" zeuxis sample faces
#   docker run --rm --user "$(id -u)" -v "$PWD:/work" zeuxis train vae digits --minutes 2
#   docker run --rm -it --user "$(id -u)" -v "$PWD:/work" -p 127.0.0.1:8765:8765 zeuxis explore 1 --host 0.0.0.0 --port 8765
#
# The page is then at http://localhost:8765, with the key of the link that is printed.
FROM python:3.13-slim

# Torch first and by itself: on Linux the registry's plain build brings gigabytes of CUDA.
COPY constraints.txt /src/
RUN pip install --no-cache-dir --disable-pip-version-check -c /src/constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu

COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
COPY models /src/models
RUN pip install --no-cache-dir --disable-pip-version-check -c /src/constraints.txt '/src[data,export,video]' /src/models \
    && rm -rf /src \
    && useradd --create-home zeuxis \
    && install -d -m 1777 /work /cache

ENV ZEUXIS_CACHE=/cache
USER zeuxis
WORKDIR /work
ENTRYPOINT ["zeuxis"]
CMD ["--help"]
