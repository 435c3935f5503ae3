# What a developer and CI run; `make help` lists it.

PYTHON ?= python3

.DEFAULT_GOAL := help

# Where Python may keep no bytecode, each process that a test starts compiles all of our modules again.
export PYTHONDONTWRITEBYTECODE :=

bin := .venv/bin
uv := $(bin)/uv --quiet
packages := libs/satcommon libs/satctl libs/satserve locations/ingest locations/realtime locations/reprocessing
dev_lock := requirements-dev.lock
build_lock := requirements-build.lock
locked := libs/satctl libs/satserve locations/ingest locations/realtime locations/reprocessing k8s/platform
# Tools that want other versions than the development lock has: a lock each, and an environment below .venv or in an image.
apart := docs/site k8s/exactextract tests/deploy/policy tests/deploy/workflows tests/integration/pgstac

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9_-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

.PHONY: install
install: .venv/.installed page ## make .venv: the development lock and the six packages, editable; the page's files

# Compiled at installation: a run is a new process, and importing Dagster from source takes it ten seconds instead of one.
.venv/.installed: $(dev_lock) pyproject.toml $(packages:%=%/pyproject.toml) | $(bin)/uv
	$(uv) pip sync --compile-bytecode --python $(bin)/python --require-hashes $(dev_lock)
	$(uv) pip install --python $(bin)/python --no-build-isolation --no-deps $(packages:%=--editable %)
	@touch $@

# pip, which every Python has, installs uv; uv does the rest in a tenth of pip's time.
$(bin)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.11" >&2; \
	    exit 1; }
	$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' $(dev_lock) > .venv/uv.lock
	$(bin)/pip --quiet --disable-pip-version-check install --require-hashes --requirement .venv/uv.lock

# What the page of maps is made with: npm compares each package with its hash in the lock. Without Node.js or a network
# all else works, and the page says what is missing.
page_of := libs/satserve
third_party := $(page_of)/src/satserve/page/static/third_party
maplibre := $(page_of)/node_modules/maplibre-gl

.PHONY: page
page: $(third_party)/.installed ## fetch the map library of the page, and what checks the page's types (needs npm)

$(third_party)/.installed: $(page_of)/package.json $(page_of)/package-lock.json
	@mkdir -p $(@D)
	@if ! command -v npm > /dev/null; then \
	    echo "npm is not installed: the page of satserve has no map. With Node.js 20 or newer: make page" >&2; \
	elif ! (cd $(page_of) && npm ci --silent); then \
	    echo "npm could not fetch the map library: the page of satserve has no map. Try again with: make page" >&2; \
	else \
	    cp $(maplibre)/dist/maplibre-gl.mjs $(maplibre)/dist/maplibre-gl-worker.mjs $(maplibre)/dist/maplibre-gl.css \
	        $(maplibre)/LICENSE.txt $(@D)/ && touch $@; \
	fi

# The development lock chooses every version, for all Pythons from 3.11 on; the others repeat its choice for one image.
# Those say nothing of who asks for what: locations that need the same have equal locks, and one layer of their images.
compile := $(uv) pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
    --no-strip-extras --annotation-style line --custom-compile-command "make lock" \
    $(patsubst %,--no-emit-package %,satcommon satctl satserve satfields-ingest satfields-realtime satfields-reprocessing)

.PHONY: lock
lock: $(bin)/uv ## remake the locks, keeping versions that still fit (UPGRADE=1: the newest)
	@$(compile) $(if $(UPGRADE),--upgrade) --group laptop --group build --group dev --output-file $(dev_lock) pyproject.toml
	@$(compile) --upgrade --constraint $(dev_lock) --group build --output-file $(build_lock)
	@set -e; for folder in $(locked); do \
	    $(compile) --no-annotate --upgrade --constraint $(dev_lock) --output-file $$folder/requirements.lock $$folder/pyproject.toml; \
	done
	@set -e; for folder in $(apart); do \
	    $(compile) --no-annotate $(if $(UPGRADE),--upgrade) --output-file $$folder/requirements.lock $$folder/requirements.in; \
	done

.PHONY: format
format: install ## rewrite the code as `make lint` wants it
	$(bin)/ruff check --fix-only --quiet
	$(bin)/ruff format --quiet

.PHONY: lint
lint: install lint-workflows ## format, lint, types, which package may import which, Dockerfiles, workflows, the page's types
	$(bin)/ruff format --check
	$(bin)/ruff check
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/hadolint $(wildcard */*/Dockerfile)
	$(if $(wildcard $(page_of)/node_modules),cd $(page_of) && node_modules/.bin/tsc,@echo "the page's types are not checked: npm is missing")

workflows := .venv/workflows
schema = $(workflows)/bin/check-jsonschema --quiet --builtin-schema

.PHONY: lint-workflows
lint-workflows: $(workflows)/.installed ## hold .github and k8s/compose against their schemas, workflows against the rules of actionlint and zizmor; offline
	$(schema) vendor.github-workflows .github/workflows/*.yml
	$(schema) vendor.dependabot .github/dependabot.yml
	$(schema) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(schema) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(schema) vendor.compose-spec k8s/compose/compose.yaml
	$(workflows)/bin/jactionlint --shellcheck= --pyflakes= .github/workflows/*.yml
	$(workflows)/bin/zizmor --offline --quiet --persona pedantic .github

$(workflows)/.installed: tests/deploy/workflows/requirements.lock | $(bin)/uv
	$(uv) venv --allow-existing --python $(bin)/python $(workflows)
	$(uv) pip sync --compile-bytecode --python $(workflows)/bin/python --require-hashes $<
	@touch $@

policy := .venv/policy

.PHONY: policy
policy: install $(policy)/.installed ## hold the rendered charts against checkov's rules (tests/deploy/policy says which not)
	$(bin)/python tests/deploy/charts.py $(policy)/rendered
	$(policy)/bin/checkov --config-file tests/deploy/policy/checkov.yaml --directory $(policy)/rendered

# An environment of its own: checkov wants other versions of what the development lock has.
$(policy)/.installed: tests/deploy/policy/requirements.lock | $(bin)/uv
	$(uv) venv --allow-existing --python $(bin)/python $(policy)
	$(uv) pip sync --compile-bytecode --python $(policy)/bin/python --require-hashes $<
	@touch $@

pgstac := .venv/pgstac

.PHONY: pgstac
pgstac: install $(pgstac)/.installed ## a second STAC API for the nightly tests; PostgreSQL needs PostGIS (apt-get install postgresql-15-postgis-3)

# Of its own, too: a server wants other versions than a client.
$(pgstac)/.installed: tests/integration/pgstac/requirements.lock | $(bin)/uv
	$(uv) venv --allow-existing --python $(bin)/python $(pgstac)
	$(uv) pip sync --compile-bytecode --python $(pgstac)/bin/python --require-hashes $<
	@touch $@

# The longest first, so that they are not what one worker ends with while the other has nothing left to do.
.PHONY: test
test: install ## unit, integration, protocol and chart tests: a few minutes (TESTS=tests/unit: some)
	$(bin)/pytest -n 2 --dist worksteal -m "not slow" \
	    $(or $(TESTS),tests/protocol tests/integration tests/unit tests/examples tests/deploy tests/alerts)

.PHONY: test-order
test-order: install ## thousands of made-up stories of late data (EXAMPLES=10000: more)
	PROTOCOL_EXAMPLES=$(or $(EXAMPLES),2000) $(bin)/pytest -n 2 tests/protocol/test_order.py

.PHONY: test-fuzz
test-fuzz: install ## a minute of mutated input for every reader (FUZZ_SECONDS=600: longer, FUZZ_SEED=8: another)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(bin)/pytest -n 2 tests/fuzz

.PHONY: test-slow
test-slow: install ## end to end tests, and all that take minutes
	$(bin)/pytest -n 2 --dist loadfile --durations 20 -m "slow and not nightly"

.PHONY: nightly
nightly: install ## what CI samples, at its full size: an hour or two
	$(MAKE) test-slow
	$(MAKE) pgstac
	$(bin)/pytest -m nightly
	HYPOTHESIS_PROFILE=nightly $(MAKE) test TESTS=tests/unit
	$(MAKE) test-order EXAMPLES=10000
	$(MAKE) test-fuzz FUZZ_SECONDS=600
	$(MAKE) bench

.PHONY: bench
bench: install ## benchmarks, as ratios: a region's day, one by reference, a late field, coverage, an import of 100,000 fields, a cluster's stores, ticks, recovery, results by HTTP, the map, webhooks
	$(bin)/python benchmarks/region_day.py
	$(bin)/python benchmarks/by_reference.py
	$(bin)/python benchmarks/late_field.py
	$(bin)/python benchmarks/coverage.py
	$(bin)/python benchmarks/import_fields.py
	$(bin)/python benchmarks/stores.py
	$(bin)/python benchmarks/publications.py
	$(bin)/python benchmarks/sensors.py
	$(bin)/python benchmarks/recovery.py
	$(bin)/python benchmarks/control_plane.py
	$(bin)/python benchmarks/serving.py --regions 2
	$(bin)/python benchmarks/first_picture.py
	$(bin)/python benchmarks/webhook_delay.py

# The longest first, since two run together.
quick := \
    "control_plane.py --quick" \
    "recovery.py --quick" \
    "serving.py --quick" \
    "first_picture.py --quick" \
    "region_day.py --quick --repeats 1" \
    "by_reference.py --quick" \
    "late_field.py --fields 100 --days 5 10 --size 1098" \
    "coverage.py --fields 500 --regions 20" \
    "publications.py --fields 500 --days 5" \
    "import_fields.py --fields 1000 --regions 20" \
    "sensors.py --regions 20 --days 40"

.PHONY: bench-quick
bench-quick: install ## that the benchmarks run, in a minute or two; its figures tell nothing
	printf '%s\n' $(quick) | xargs -P 2 -I % -t sh -c '$(bin)/python benchmarks/%'

.PHONY: docs
docs: install ## rewrite what follows from code: tables of docs/reference, satctl's manual page
	$(bin)/python docs/generate.py

.PHONY: dashboards
dashboards: install ## rewrite Grafana's dashboards from their lists of panels
	$(bin)/python k8s/make_dashboards.py

site := .venv/docs

.PHONY: docs-site
docs-site: install $(site)/.installed ## the documentation as a site, in .venv/docs/site; a broken link fails
	$(bin)/python docs/site/make_source.py $(site)
	cd $(site) && bin/zensical build --strict --clean

.PHONY: docs-serve
docs-serve: docs-site ## the same on http://localhost:8000
	cd $(site) && bin/zensical serve

$(site)/.installed: docs/site/requirements.lock | $(bin)/uv
	$(uv) venv --allow-existing --python $(bin)/python $(site)
	$(uv) pip sync --compile-bytecode --python $(site)/bin/python --require-hashes $<
	@touch $@

.PHONY: indices
indices: install ## rewrite the table of spectral indices from the installed spyndex
	$(bin)/python libs/satcommon/make_indices.py

.PHONY: validate
validate: install ## load the three code locations as Dagster does
	$(bin)/dagster definitions validate --workspace workspace.yaml

# Images

.PHONY: wheels
wheels: install ## the wheels of the six packages, in dist
	@set -e; for package in $(packages); do \
	    $(uv) build --wheel --no-build-isolation --python $(bin)/python --out-dir dist $$package; \
	done

.PHONY: build_docker
build_docker: page ## build the images and load them into the cluster (IMAGES=ingest: one; see k8s/build.sh)
	@k8s/build.sh

.PHONY: demo
demo: install ## the whole in two minutes, late data put right (STORES=cluster: on PostgreSQL and S3)
	$(bin)/satctl demo --stores $(or $(STORES),laptop)

.PHONY: up
up: install ## everything on this machine, the UI on http://localhost:3002
	$(bin)/satctl up

# Kubernetes: k8s/values has the values of each ENVIRONMENT, docs/how-to/deploy-on-kubernetes.md tells more.

NAMESPACE ?= satfields
ENVIRONMENT ?= minikube
KUBECTL ?= kubectl
HELM ?= helm
HELM_ARGS ?=
PLATFORM_ARGS ?=
WAIT ?= 5m
export NAMESPACE KUBECTL

release := $(HELM) --namespace $(NAMESPACE)
upgrade = $(release) upgrade --install --wait --timeout $(WAIT) $(HELM_ARGS)
image = --set-string image.repository=$(or $(REPOSITORY),satfields)/$1,image.tag=$(or $(TAG),$$(k8s/image-tag.sh))
locations := ingest realtime reprocessing

.PHONY: deploy
deploy: deploy-platform $(locations:%=deploy-%) deploy-api check_pod_status ## install or upgrade all on Kubernetes: platform, locations, API

.PHONY: deploy-platform
deploy-platform: ## the platform alone; its databases are migrated first
	@$(if $(filter minikube,$(ENVIRONMENT)),k8s/secrets.sh)
	$(upgrade) platform k8s/charts/platform --create-namespace --values k8s/values/$(ENVIRONMENT)/platform.yaml \
	    $(call image,platform) $(subst image.,satctl.image.,$(call image,satctl)) \
	    $(PLATFORM_ARGS) || { k8s/pod_status.sh; exit 1; }

.PHONY: deploy-api
deploy-api: ## the HTTP API alone, at TAG
	$(upgrade) api k8s/charts/api --values k8s/values/$(ENVIRONMENT)/api.yaml \
	    $(call image,satserve) || { k8s/pod_status.sh; exit 1; }

.PHONY: $(locations:%=deploy-%)
$(locations:%=deploy-%): deploy-%: ## deploy-LOCATION: one location alone, at TAG; the others' pods stay as they are
	$(upgrade) $* k8s/charts/code-location --values k8s/values/$*.yaml --values k8s/values/$(ENVIRONMENT)/location.yaml \
	    $(call image,$*) || { k8s/pod_status.sh; exit 1; }

.PHONY: $(locations:%=rollback-%)
$(locations:%=rollback-%): rollback-%: ## rollback-LOCATION: one location back to its release before (REVISION=3: to that one)
	$(release) rollback --wait --timeout $(WAIT) $* $(REVISION)

.PHONY: seed_k8s
seed_k8s: ## register the sample regions and fields, monitored from three days ago, by a Job in the cluster
	k8s/satctl regions seed --monitored-from "$$($(PYTHON) -c 'from datetime import datetime as d, timedelta as t, timezone as z; \
	    print(d.now(z.utc).date() - t(days=3))')"

.PHONY: forward_k8s
forward_k8s: ## the cluster's UI on http://localhost:3002
	$(KUBECTL) --namespace $(NAMESPACE) port-forward service/satfields-webserver 3002:80

.PHONY: check_pod_status
check_pod_status: ## the pods, and what is wrong with those that are not well
	@k8s/pod_status.sh

.PHONY: check_daemon_logs check_deamon_logs
check_daemon_logs check_deamon_logs: ## what Dagster's daemon says
	$(KUBECTL) --namespace $(NAMESPACE) logs --tail 200 deployment/satfields-daemon

.PHONY: clean_k8s
clean_k8s: ## remove all from the cluster, data included (asks; YES=1: does not)
	@k8s/clean.sh

.PHONY: e2e_k8s
e2e_k8s: export TAG := $(or $(TAG),$(shell k8s/image-tag.sh))
e2e_k8s: export NAMESPACE := satfields-e2e
e2e_k8s: install ## build, install, feed, upgrade, kill and remove all on kubectl's cluster (BUILDER, LOADER as for build_docker)
	$(MAKE) build_docker
	$(MAKE) build_docker IMAGES=reprocessing TAG=$(TAG)-next
	$(MAKE) build_docker IMAGES=ingest=tests/cluster/broken TAG=$(TAG)-broken \
	    BUILD_ARGS="--build-arg SOUND=$(or $(REPOSITORY),satfields)/ingest:$(TAG)"
	$(bin)/pytest -x -v --durations 0 --durations-min 1 tests/cluster

.PHONY: clean
clean: ## remove .venv and caches; data in .satfields stay
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache $(third_party) $(page_of)/node_modules
