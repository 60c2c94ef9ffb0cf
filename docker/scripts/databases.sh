#!/bin/sh
# When the server's data folder is new: a role and a database of its own for each of the three that need one.
# PostgreSQL's image runs this from /docker-entrypoint-initdb.d. psql reads the passwords itself: no command line shows them.
set -eu
for name in airflow mlflow warehouse; do
    NAME=$name PASSWORD_FILE="${NIGHTJAR_SECRETS:-/run/secrets}/${name}_password" \
        psql --quiet --no-password --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv name NAME
\set password `cat "$PASSWORD_FILE"`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
