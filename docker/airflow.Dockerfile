# Airflow alone: API server, triggerer, DAG processor, database migration. Tasks need docker/jobs.Dockerfile.
# Build from the repository's root: docker build -f docker/airflow.Dockerfile -t nightjar/airflow:0.1.0 .
# The tag is exact; pin its digest too (python:3.11.14-slim-bookworm@sha256:…) once a registry has shown it to you.
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE}
WORKDIR /opt/nightjar

# First what the environment is built from, so that a change of code leaves its layer as it is.
COPY pyproject.toml README.md LICENSE ./
COPY conf/locks conf/locks
COPY jobs/ops/__init__.py jobs/ops/setup.py jobs/ops/doctor.py jobs/ops/
COPY src/nightjar/__init__.py src/nightjar/
COPY src/nightjar/contracts src/nightjar/contracts
COPY docker/scripts/install.sh docker/scripts/user.sh docker/scripts/
RUN ["docker/scripts/install.sh", "airflow"]
RUN ["docker/scripts/user.sh"]

COPY src src
COPY conf conf
COPY jobs jobs
COPY dags dags
COPY docker/scripts docker/scripts

USER 50000:0
ENV AIRFLOW_HOME=/opt/airflow NIGHTJAR_HOME=/var/lib/nightjar PYTHONUNBUFFERED=1
ENTRYPOINT ["/opt/nightjar/.envs/airflow/bin/python", "/opt/nightjar/docker/scripts/service.py"]
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s \
    CMD ["/opt/nightjar/.envs/airflow/bin/python", "/opt/nightjar/docker/scripts/health.py", "api-server"]
CMD ["api-server"]
