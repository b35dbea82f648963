PYTHON ?= python3
RUN = .venv/bin/python -m
# JupyterLab refuses to run as root unless it is told to
LAB_OPTIONS = --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
  $(if $(filter 0,$(shell id -u)),--allow-root)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE   # a notebook's first cell takes 2 s with compiled packages, and 5 s without

.PHONY: lab setup test bench doctor outputs stop prefetch lock lock-python

lab: setup        ## a broker, and JupyterLab on the first notebook
	$(RUN) helpers.broker run $(RUN) jupyter lab $(LAB_OPTIONS)

setup:            ## the environment in .venv, and Kafka in the cache
	@$(PYTHON) -m helpers.setup
	@$(RUN) helpers.broker prefetch

test: setup       ## the whole test run, or make test TESTS=tests/unit
	$(RUN) pytest -n 4 --dist loadfile --no-loadscope-reorder $(TESTS)

bench: setup      ## how fast it is: bench/results.json
	$(RUN) bench

doctor:           ## what is wrong, and what mends it
	@$(PYTHON) -m helpers.setup
	@$(RUN) helpers.broker doctor

outputs: setup    ## rebuild the outputs that the notebooks are committed with
	$(RUN) tests.notebooks.execute

stop:             ## end every broker of this checkout
	$(RUN) helpers.broker stop

prefetch: setup   ## at home, before the workshop: everything into the cache

lock:             ## make lock VERSION=4.3.1: the jars of a Kafka version, by Maven
	$(RUN) helpers.broker lock $(VERSION)

lock-python:      ## requirements.lock from requirements.txt
	$(RUN) uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate \
	  --no-emit-package kafka-course --no-header requirements.txt -o requirements.lock
