# Both environments: wherever tasks run (the scheduler with LocalExecutor, pods of the Kubernetes executor), on Spark's master
# and workers, and for the MLflow server. A task is a process of Airflow that starts its job as a process of the other
# environment on the same machine (docs/decisions/0011-two-images.md), so no image with only one of them can run one.
# Build from the repository's root, for CPU:
#   docker build -f docker/jobs.Dockerfile -t nightjar/jobs:0.1.0 --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .
# and for CUDA without the argument, tagged 0.1.0-cuda: torch's own packages bring CUDA, the host only its driver.
# The tag is exact; pin its digest too (python:3.11.14-slim-bookworm@sha256:…) once a registry has shown it to you.
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE}
WORKDIR /opt/nightjar

# The same lines as in airflow.Dockerfile, so that the two images share these layers.
COPY pyproject.toml README.md LICENSE ./
COPY conf/locks conf/locks
COPY jobs/ops/__init__.py jobs/ops/setup.py jobs/ops/doctor.py jobs/ops/
COPY src/nightjar/__init__.py src/nightjar/
COPY src/nightjar/contracts src/nightjar/contracts
COPY docker/scripts/install.sh docker/scripts/user.sh docker/scripts/
RUN ["docker/scripts/install.sh", "airflow"]
RUN ["docker/scripts/user.sh"]
ARG TORCH_INDEX_URL=""
RUN ["docker/scripts/install.sh", "jobs"]

COPY src src
COPY conf conf
COPY jobs jobs
COPY dags dags
COPY docker/scripts docker/scripts

USER 50000:0
ENV AIRFLOW_HOME=/opt/airflow NIGHTJAR_HOME=/var/lib/nightjar PYTHONUNBUFFERED=1
ENTRYPOINT ["/opt/nightjar/.envs/airflow/bin/python", "/opt/nightjar/docker/scripts/service.py"]
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s \
    CMD ["/opt/nightjar/.envs/airflow/bin/python", "/opt/nightjar/docker/scripts/health.py", "scheduler"]
CMD ["scheduler"]
