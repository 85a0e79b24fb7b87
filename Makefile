# Two commands, each enough on a fresh machine with python3.11 and make (and `make quick` while one works):
#   make run    the service on 127.0.0.1:8000, in an environment without torch
#   make test   every test, in an environment with torch

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3.11
export UV_PYTHON ?= $(shell command -v $(PYTHON))
export UV_PYTHON_DOWNLOADS ?= never

# uv is brought along in a private environment when the machine has none.
UV := $(shell command -v uv || echo $(CURDIR)/.uv/bin/uv)

# Where pip is told of a CPU build of torch (PIP_FIND_LINKS), that one is used: the registry's build for Linux is the
# CUDA one, with several gigabytes of libraries that a machine without a GPU has no use for.
TORCH_CPU := $(firstword $(foreach links,$(PIP_FIND_LINKS),$(wildcard $(links)/torch-2.13.*+cpu-cp311-*x86_64.whl)))

# Five real clips of two seconds, for the benchmark from video to vector, where the shared clips folder is at hand.
SHARED := $(or $(SIGNDEX_SHARED),../shared)
BENCH_CLIPS := $(wildcard $(foreach sign,bag door good tomato two,$(SHARED)/clips/ukg/home/$(sign).mp4))

SERVE := .venv-serve/.ready
DEV := .venv/.ready
GPU := .venv-gpu/.ready
RAY := .venv-ray/.ready
POSE := .venv-pose/.ready
TRAIN_GROUPS := --group cpu --group train --group translate --group dev --group milvus-lite

.PHONY: help run run-pose test test-pose quick soak hostile contract fire-test load capacity audit check format bench bench-service bench-scale bench-gpu bench-ray test-gpu test-ray openapi settings serve-test docker-test lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: $(SERVE) ## the service on SIGNDEX_HOST:SIGNDEX_PORT (127.0.0.1:8000)
	.venv-serve/bin/python -m app serve --make-admin-key

run-pose: $(POSE) ## the same, looking signs up by the skeleton of who signs: docs/skeleton.md
	SIGNDEX_ENCODER=$${SIGNDEX_ENCODER:-pose} .venv-pose/bin/python -m app serve --make-admin-key

# Files of tests side by side, one a core: a second thread inside each would only get in the way of the other process.
test: $(DEV) $(SERVE) ## every test
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup $(PYTEST_ARGS)

soak: $(DEV) ## the tests that take minutes
	.venv/bin/python -m pytest -m slow

hostile: $(DEV) ## uploads that are meant to do harm, 2,000 of them mutated, against a decoding process
	.venv/bin/python -m tests.hostile.decoding --mutations 2000 $(addprefix --odd ,$(wildcard $(SHARED)/clips/odd))

contract: $(DEV) ## every route of the API asked thousands of odd things, answers judged by its description
	.venv/bin/python -m pytest tests/app/http/test_contract.py -s --hypothesis-profile=thorough

fire-test: $(DEV) ## hostile uploads, faults and load on a running service, in five minutes, with a table at the end
	.venv/bin/python -m tests.fire $(addprefix --odd ,$(wildcard $(SHARED)/clips/odd)) $(FIRE_ARGS)

load: $(DEV) ## load at 0.5, 1 and 2 times capacity for ten minutes each, then an hour at 0.8; writes docs/benchmarks
	.venv/bin/python -m tests.fire.load --seconds 600 --soak-s 3600 --write docs/benchmarks/load.md

capacity: $(DEV) ## the simulation of the service beside one replica and two, on a machine that does nothing else
	.venv/bin/python -m tests.fire.capacity --write docs/benchmarks/capacity.md

# --strict: where the index does not know a package, as mirrors often do not, the audit fails instead of passing it over.
AUDIT = $(UV) export --locked --quiet --no-default-groups $(1) | \
	$(UV) tool run pip-audit@2.10.1 --strict --require-hashes --disable-pip -r /dev/stdin

audit: $(UV) ## known weaknesses of the locked dependencies; needs PyPI itself, not a mirror
	$(call AUDIT,$(TRAIN_GROUPS))
	$(call AUDIT,--group gpu)
	$(call AUDIT,--group cpu --group pose)

serve-test: $(SERVE) ## prove that serving works in an environment that has no torch
	.venv-serve/bin/python -m tests.serving

docker-test: $(DEV) ## build the image and try it in containers, where an engine can be reached
	.venv/bin/python -m tests.docker.run

check: $(DEV) ## lock file, format, lint, types, import direction
	$(UV) lock --check --quiet
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

quick: $(DEV) ## under a minute: lint, types, import direction, and the fast tests of what changed since main
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports > /dev/null || .venv/bin/lint-imports
	files=$$(.venv/bin/python -m tests.changed); [ -z "$$files" ] || OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -x \
	  -m "not slow and not gl and not real" --numprocesses auto --maxprocesses 4 --dist loadgroup $$files

format: $(DEV) ## rewrite what ruff can mend
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

bench: $(DEV) ## every benchmark, with its baseline in the same run; writes docs/benchmarks
	.venv/bin/python -m model bench --write docs/benchmarks/encoder.md $(addprefix --clip ,$(BENCH_CLIPS))

bench-service: $(DEV) ## the benchmark of the service, on a machine that does nothing else
	SIGNDEX_THREADS=1 .venv/bin/python -m app.bench.http --write docs/benchmarks/service.md $(addprefix --clip ,$(BENCH_CLIPS))

bench-ray: $(RAY) ## bulk embedding over Ray beside the local path, on a machine that does nothing else
	.venv-ray/bin/python -m app.bench.ray_cluster --write docs/benchmarks/ray.md

bench-scale: $(DEV) ## flat, IVF-PQ and HNSW on a million vectors; goes on where it was cut off, needs 4 GB and 6 GB of disk
	.venv/bin/python -m index bench-scale --write docs/benchmarks/scale.md

# On a GPU host, which needs torch beside the packages of the gpu group; writes docs/benchmarks/gpu-*.md.
bench-gpu: $(GPU) ## every benchmark on a GPU: encoder, search, and from upload to hits
	.venv-gpu/bin/python -m model bench-gpu --encoder base --keep .venv-gpu --write docs/benchmarks/gpu-encoder.md $(addprefix --clip ,$(BENCH_CLIPS))
	.venv-gpu/bin/python -m index bench --write docs/benchmarks/gpu-search.md
	SIGNDEX_PROVIDER=cuda SIGNDEX_INDEX_DEVICE=cuda SIGNDEX_ENCODER=.venv-gpu/encoder.onnx .venv-gpu/bin/python -m app.bench.http --write docs/benchmarks/gpu-service.md $(addprefix --clip ,$(BENCH_CLIPS))

test-pose: $(POSE) ## the tests that need MediaPipe, with it
	UV_PROJECT_ENVIRONMENT=.venv-pose $(UV) sync --locked --quiet --no-default-groups --group cpu --group pose --group dev
	.venv-pose/bin/python -m pytest tests/pose

test-gpu: $(GPU) ## the tests that need a GPU, on one
	.venv-gpu/bin/python -m pytest -m gpu

test-ray: $(RAY) ## the tests that need a Ray cluster, on one of two nodes that they start here
	.venv-ray/bin/python -m pytest -m ray tests/app/indexing/cluster

openapi: $(DEV) ## rewrite docs/openapi.json from the routes
	.venv/bin/python -m app.http.openapi --write docs/openapi.json

settings: $(DEV) ## rewrite the table of settings in docs/operations.md from app/settings.py
	.venv/bin/python -m app settings --write docs/operations.md

lock: $(UV) ## renew uv.lock after a change of pyproject.toml
	$(UV) lock

clean: ## remove the environments and caches (never the data folder)
	rm -rf .venv .venv-serve .venv-pose .venv-gpu .venv-ray .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(CURDIR)/.uv/bin/uv:
	$(UV_PYTHON) -m venv .uv
	.uv/bin/pip install --quiet uv

$(SERVE): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-serve $(UV) sync --locked --quiet --compile-bytecode
	touch $@

$(GPU): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-gpu $(UV) sync --locked --quiet --no-default-groups --group gpu --group train --group translate --group dev
	touch $@

$(RAY): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-ray $(UV) sync --locked --quiet --group cpu --group ray --group dev
	touch $@

$(POSE): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-pose $(UV) sync --locked --quiet --compile-bytecode --no-default-groups --group cpu --group pose
	touch $@

$(DEV): pyproject.toml uv.lock | $(UV)
ifeq ($(TORCH_CPU),)
	$(UV) sync --locked --quiet $(TRAIN_GROUPS)
else
	$(UV) venv --quiet --allow-existing .venv
	$(UV) export --locked --quiet --no-hashes $(TRAIN_GROUPS) | grep -vE '^(torch|nvidia-|cuda-|triton)' > .venv/requirements.txt
	echo "torch @ file://$(TORCH_CPU)" >> .venv/requirements.txt
	$(UV) pip sync --quiet --python .venv/bin/python .venv/requirements.txt
endif
	touch $@
