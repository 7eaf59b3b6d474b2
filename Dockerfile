# docker build -t foundry-train . && docker run --rm -it -v "$PWD/project:/project" foundry-train init
FROM python:3.12-slim
# the best sandbox for code from others; its namespaces need --security-opt seccomp=unconfined, else landlock is used
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap && rm -rf /var/lib/apt/lists/*
COPY . /tmp/foundry
# for a GPU: --build-arg TORCH=https://download.pytorch.org/whl/cu130, and docker run --gpus all
ARG TORCH=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir torch --index-url $TORCH && pip install --no-cache-dir "/tmp/foundry[all]" && rm -r /tmp/foundry
RUN useradd --create-home foundry && mkdir /project && chown foundry /project
USER foundry
WORKDIR /project
ENTRYPOINT ["foundry"]
