# Nightjar's commands. `make help` lists them.

# First answer of these that is new enough builds the environments; afterwards they have their own.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

SOURCE ?= synthetic
MODEL ?= sasrec
SAMPLE ?= 10000
AIRFLOW_PORT ?= 8080
MLFLOW_PORT ?= 5000
BI_PORT ?= 8088
CONF ?= conf/models/sasrec.toml
SEEDS ?= 3
FOLDS ?= 3
TRIALS ?= 20
# Recipes read these from their environment, so that no value is ever parsed by the shell.
INPUTS := SOURCE RAW DAY MODEL SET SAMPLE AIRFLOW_PORT MLFLOW_PORT BI_PORT TORCH_INDEX_URL SIZE RUNS SKEW EXPLAIN DAYS EVENTS \
	DATA PROTOCOL CONF SEEDS FOLDS EXCLUDE OUT STEPS EPOCHS FROM TO AGAIN NIGHTS ONLY TARGET USERS ITEMS K TARGETS TRIALS \
	MINUTES HEAP FILE NOW $(filter NIGHTJAR_%,$(.VARIABLES))
# Nor by make, which would run $(shell ...) in a value while it exports it.
$(foreach name,$(INPUTS),$(eval override $(name) := $$(value $(name))))
export $(INPUTS)

JOBS := .envs/jobs/bin/python
AIRFLOW := .envs/airflow/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup nightly replay rollback export erase backtest backfill bi lineage source-check rules-check audit sbom licenses ui down test test-live check format docs approve locks \
	quality scores-report tune bench-prep bench-night bench-learn bench-large bench-scaling bench-publish bench-score bench-overhead bench-page

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1	\2/p' Makefile
	@echo
	@echo "  make nightly SOURCE=retailrocket RAW=events.csv.gz DAY=2015-08-15 MODEL=gru SET=\"train.epochs=5 score.k=10\""
	@echo "  make quality DATA=people.txt.gz PROTOCOL=leave-one-out CONF=conf/models/sasrec.toml SEEDS=3; PROTOCOL=sessions"
	@echo "  make bench-prep SIZE=20000000 RUNS=3 SKEW=user EXPLAIN=1; make bench-night DAYS=\"30 180 365\" EVENTS=20000"
	@echo "  variables: NIGHTJAR_HOME (state, default .nightjar), AIRFLOW_PORT, MLFLOW_PORT, BI_PORT, TORCH_INDEX_URL, PYTHON"

setup:  ## build .envs/jobs and .envs/airflow from conf/locks; instant when they are complete
	@if [ -z "$(PYTHON)" ]; then echo "setup: Python 3.11 or newer is needed; install it, or add PYTHON=path" >&2; exit 1; fi
	@PYTHONPATH=src "$(PYTHON)" -m jobs.ops.setup

nightly: setup  ## run a whole night: SOURCE, RAW, DAY, MODEL, SET; the synthetic shop by default
	@$(JOBS) -m jobs.ops.nightly --source "$$SOURCE" --raw "$$RAW" --day "$$DAY" --model "$$MODEL" --set "$$SET" \
		--airflow-port "$$AIRFLOW_PORT"

replay: setup  ## judge a day's rejected records again, after a fix: SOURCE, DAY, SET
	@$(JOBS) -m jobs.ops.replay --source "$$SOURCE" --day "$$DAY" --set "$$SET"

rollback: setup  ## show readers the night before, or TO=2001-01-15, or TO=latest: SOURCE, TO, SET
	@$(JOBS) -m jobs.ops.rollback --source "$$SOURCE" --to "$$TO" --set "$$SET"

export: setup  ## write what changed for a CRM tool: TARGET=braze, hubspot, sfmc or klaviyo; SOURCE, SET
	@$(JOBS) -m jobs.ops.export --source "$$SOURCE" --target "$$TARGET" --set "$$SET"

erase: setup  ## file requests to be forgotten, from FILE or standard input; NOW=1 carries them out: SOURCE, FILE, NOW, SET
	@$(JOBS) -m jobs.ops.erase --source "$$SOURCE" --file "$$FILE" --now "$$NOW" --set "$$SET"

backtest: setup  ## replay past nights and hold their lists against what people did: FROM, TO, SOURCE, RAW, MODEL, SET
	@$(JOBS) -m jobs.ops.backtest --source "$$SOURCE" --raw "$$RAW" --from "$$FROM" --to "$$TO" --model "$$MODEL" \
		--set "$$SET"

backfill: setup  ## run the nights of a range through Airflow, in order: FROM, TO, AGAIN=failed or all, SOURCE, RAW, MODEL, SET
	@$(JOBS) -m jobs.ops.backfill --source "$$SOURCE" --raw "$$RAW" --from "$$FROM" --to "$$TO" --again "$$AGAIN" \
		--model "$$MODEL" --set "$$SET" --airflow-port "$$AIRFLOW_PORT"

bi: setup  ## Apache Superset with the dashboard of conf/bi, until Ctrl-C: SET, BI_PORT; builds .envs/superset first
	@$(JOBS) -m jobs.ops.bi --port "$$BI_PORT" --set "$$SET"

lineage: setup  ## check that all that a night wrote comes from its raw logs, and draw it: SOURCE, DAY, OUT=file.svg, SET
	@$(JOBS) -m jobs.ops.lineage --source "$$SOURCE" --day "$$DAY" --out "$$OUT" --set "$$SET"

source-check: setup  ## show what a mapping makes of a log's first records: SOURCE, RAW, SAMPLE; writes nothing
	@$(JOBS) -m jobs.ops.source_check --source "$$SOURCE" --raw "$$RAW" --records "$$SAMPLE"

rules-check: setup  ## show what the shop's rules file means for its latest items: SOURCE, SET; writes nothing
	@$(JOBS) -m jobs.ops.rules_check --source "$$SOURCE" --set "$$SET"

ui: setup  ## leave Airflow, with the nightly schedule, and MLflow running
	@$(JOBS) -m jobs.ops.services up --source "$$SOURCE" --raw "$$RAW" \
		--airflow-port "$$AIRFLOW_PORT" --mlflow-port "$$MLFLOW_PORT"

down: setup  ## stop what make ui started
	@$(JOBS) -m jobs.ops.services down

test: setup  ## run all tests, each in the environment it belongs to
	@# Two workers, a file each: most tests wait for one JVM at a time. In the order of the folders, jobs among the first:
	@# the plugin's own begins with the files of most tests, and leaves the long ones to the end, one worker idle.
	@$(JOBS) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15 --ignore=tests/dags; jobs=$$?; $(AIRFLOW) -m pytest tests/dags; airflow=$$?; \
		[ $$jobs -eq 0 ] && [ $$airflow -eq 0 ]

test-live: setup  ## whole nights through Airflow: backfills, kills at every step, a deployment's servers; benchmarks on small logs; NIGHTS, ONLY=part of a test's name
	@NIGHTJAR_TEST_NIGHTS="$$NIGHTS" $(JOBS) -m pytest -m live -k "$$ONLY" --durations 0 tests/ops tests/docker tests/jobs

check: setup  ## format, lint, types, room rule, generated pages; writes nothing
	@$(JOBS) -m ruff format --check
	@$(JOBS) -m ruff check
	@$(JOBS) -m mypy
	@$(JOBS) -m mypy -p jobs.ops -p jobs.bench
	@.envs/jobs/bin/lint-imports
	@$(JOBS) -m jobs.ops.docs --check

format: setup  ## format the code and mend what ruff can
	@$(JOBS) -m ruff check --fix
	@$(JOBS) -m ruff format

docs: setup  ## write docs/data.md and docs/conf.md from the code
	@$(JOBS) -m jobs.ops.docs

approve: setup  ## rewrite golden files with what the code gives now, and show what changed
	@$(JOBS) -m pytest -q --ignore=tests/dags --approve; $(AIRFLOW) -m pytest -q tests/dags --approve; true
	@git diff --stat -- tests/golden

locks:  ## resolve both environments afresh and rewrite conf/locks
	@PYTHONPATH=src "$(PYTHON)" -m jobs.ops.setup --locks

audit: setup  ## hold every lock against the known weaknesses of its packages; 0 clean, 1 some, 2 the service is away
	@$(JOBS) -m jobs.ops.audit

sbom: setup  ## write a bill of materials of each environment, CycloneDX 1.6, below sbom/ of NIGHTJAR_HOME
	@$(JOBS) -m jobs.ops.sbom

licenses: setup  ## rewrite conf/locks/licenses.txt, after make locks
	@$(JOBS) -m jobs.ops.sbom --licenses

quality: setup  ## hold a model against the literature on a public data set: DATA, PROTOCOL, CONF, SEEDS, FOLDS, EXCLUDE, OUT, SET
	@$(JOBS) -m jobs.ops.quality --data "$$DATA" --protocol "$$PROTOCOL" --conf "$$CONF" --seeds "$$SEEDS" \
		--folds "$$FOLDS" --exclude "$$EXCLUDE" --out "$$OUT" --set "$$SET"

scores-report: setup  ## what every score of people is worth, into docs/scores.md: DATA=folder of data sets, ONLY=parts
	@$(JOBS) -m jobs.ops.scores_report --data "$$DATA" --only "$$ONLY"

tune: setup  ## search settings that suit a night's people: SOURCE, DAY, CONF, TRIALS, SET; goes on where it stopped
	@set -f; $(JOBS) jobs/tune.py --source "$$SOURCE" --sequences "$$SOURCE/sequences/dt=$$DAY" \
		--conf "$$CONF" --trials "$$TRIALS" $$(for one in $$SET; do printf ' --set %s' "$$one"; done)

bench-prep: setup  ## time clean and sessionize beside Spark's floor, DuckDB and polars: SIZE, RUNS, SKEW, STEPS, EXPLAIN
	@PYTHONPATH=src "$(PYTHON)" -m jobs.ops.setup --bench bench || echo "bench-prep: going on without polars" >&2
	@$(JOBS) -m jobs.bench.prep $${SIZE:+--size "$$SIZE"} $${RUNS:+--runs "$$RUNS"} $${SKEW:+--skew "$$SKEW"} \
		$${STEPS:+--steps "$$STEPS"} $${EXPLAIN:+--explain} --set "$$SET"

bench-night: setup  ## time a night after long and short histories: DAYS, EVENTS, RUNS
	@$(JOBS) -m jobs.bench.night $${DAYS:+--days "$$DAYS"} $${EVENTS:+--events "$$EVENTS"} $${RUNS:+--runs "$$RUNS"} \
		--set "$$SET"

bench-learn: setup  ## train and score beside RecTools and RecBole: DATA, RUNS, STEPS, EPOCHS, MINUTES
	@for peer in rectools recbole; do \
		PYTHONPATH=src "$(PYTHON)" -m jobs.ops.setup --bench $$peer || echo "bench-learn: going on without $$peer" >&2; done
	@$(JOBS) -m jobs.bench.learn $${DATA:+--data "$$DATA"} $${RUNS:+--runs "$$RUNS"} $${STEPS:+--steps "$$STEPS"} \
		$${EPOCHS:+--epochs "$$EPOCHS"} $${MINUTES:+--minutes "$$MINUTES"}

bench-large: setup  ## what a training step of a large model costs, on a GPU or a little of it on a CPU: STEPS, SET
	@$(JOBS) -m jobs.bench.large $${STEPS:+--steps "$$STEPS"} --set "$$SET"

bench-scaling: setup  ## training in one process of one thread beside two: RUNS, STEPS
	@$(JOBS) -m jobs.bench.scaling $${RUNS:+--runs "$$RUNS"} $${STEPS:+--steps "$$STEPS"}

bench-publish: setup  ## time publishing a night beside a plain COPY of its files: USERS, RUNS, TARGETS
	@$(JOBS) -m jobs.bench.publish $${USERS:+--users "$$USERS"} $${RUNS:+--runs "$$RUNS"} \
		$${TARGETS:+--targets "$$TARGETS"}

bench-score: setup  ## time scoring from sequences to written rows beside a product and a top-k: USERS, ITEMS, K, RUNS, HEAP
	@$(JOBS) -m jobs.bench.score $${USERS:+--users "$$USERS"} $${ITEMS:+--items "$$ITEMS"} $${K:+--k "$$K"} \
		$${RUNS:+--runs "$$RUNS"} $${HEAP:+--heap-gib "$$HEAP"}

bench-overhead: setup  ## what a night of the synthetic shop spends outside its jobs: DAY, SET, RUNS
	@$(JOBS) -m jobs.bench.overhead $${DAY:+--day "$$DAY"} --set "$$SET" $${RUNS:+--runs "$$RUNS"}

bench-page: setup  ## write docs/benchmarks/prep.md from what the benchmarks left
	@$(JOBS) -m jobs.bench.page
