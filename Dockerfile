# The studio on a processor, for a user without rights: docs/server.md says how it is built and run.
FROM python:3.11-slim

# Where pip looks for torch as well: the address of wheels for processors saves gigabytes.
ARG EXTRA_INDEX=""

RUN useradd --create-home --uid 1000 studio
WORKDIR /home/studio/s2id
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN PIP_EXTRA_INDEX_URL="$EXTRA_INDEX" pip install --no-cache-dir -c constraints.txt ".[studio,frames]"

USER studio
WORKDIR /home/studio
EXPOSE 8210
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8210/health')"]
CMD ["s2id", "studio", "--host", "0.0.0.0", "--port", "8210", "--set", "open=false"]
