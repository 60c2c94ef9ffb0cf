#!/bin/sh
# The user that services run as, while an image is built: user.sh
# 50000 in group 0 is what Airflow's Helm chart runs pods as. It needs a name: Hadoop refuses users without one.
set -eu
useradd --uid 50000 --gid 0 --create-home nightjar
# A named volume takes owner and mode from the folder that it is first mounted over.
install -d -o 50000 -g 0 -m 0775 /opt/airflow /var/lib/nightjar /var/lib/mlflow /var/log/nightjar
