# All of it needs only Python 3.11+, make, a C++17 compiler and a package registry.
#   make demo         train a classifier with what is built here
#   make test         the whole suite
#   make test-pjrt    its fast half, without native execution
#   make test-newest  a part of it on Python 3.13 with the newest jaxlib, against an installed wheel
#   make fuzz         what loads compiled programs, fed broken ones under sanitizers, for FUZZ_SECONDS
#   make lint, make bench, make wheel
#   make dev          for those who change the engine: run the source tree, compile pyx/ in place

VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check -q
PYTEST := -m pytest -n 2 --dist worksteal
# What the newest jaxlib is tried with: the runtime, compiled calls, whole programs. Comparisons of each function and each
# printed jaxpr with jax are left to `make test`: they are with jax 0.10.2, and a later jax differs.
NEWEST_TESTS := tests/runtime tests/native tests/trees $(addprefix tests/transform/test_,jit.py sameness.py) \
	$(addprefix tests/lax/test_,laws_alone.py references.py) \
	$(addprefix tests/test_,aval.py docs.py doctests.py end_to_end.py errors.py examples.py isolation.py layers.py lifetimes.py \
	programs.py stubs.py user_guide.py)
# The fast half of the suite, which runs without native execution, too.
PJRT_TESTS := tests/transform tests/trees tests/runtime $(addprefix tests/lax/test_,control_flow.py slicing.py \
	gather_scatter.py contraction.py) $(wildcard tests/test_*.py)
LOCK := $(if $(shell command -v flock),flock build/.lock)

# The first of these commands that runs a Python we support.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
FIND_PYTHON_3_13 = for p in python3.13 $(HOME)/.pyenv/versions/3.13.*/bin/python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1 && echo $$p && break; done

SOURCES := pyproject.toml CMakeLists.txt $(shell find cmake csrc pyx python -type f ! -name '*.so' ! -name '*.pyc')
WHEEL = build/wheel$(VENV)/built
# Written by `make dev`: the .venv that has it runs the source tree, and gets no second copy installed beside it.
DEV_PATH := $(wildcard $(VENV)/lib/python3.*/site-packages/cyxla-dev.pth)

# $(call requirements,EXTRA...): what these extras name in pyproject.toml, less the project itself
requirements = $(BIN)/python -c 'import tomllib, sys; p = tomllib.load(open("pyproject.toml", "rb")); \
	extras = p["project"]["optional-dependencies"] | {"build": p["build-system"]["requires"], "run": p["project"]["dependencies"]}; \
	print(*(r for e in sys.argv[1:] for r in extras[e] if not r.startswith("cyxla")), sep="\n")' $(1)
install_requirements = $(call requirements,$(1)) >$(VENV)/requirements.txt && $(BIN)/python $(PIP) install -r $(VENV)/requirements.txt

.PHONY: demo test test-pjrt test-newest fuzz lint bench wheel dev clean

demo: $(VENV)/installed-demo
	$(BIN)/python examples/digits.py

test: $(VENV)/installed-test
	$(BIN)/python $(PYTEST)

test-pjrt: $(VENV)/installed-test
	CYXLA_NATIVE=0 $(BIN)/python $(PYTEST) $(PJRT_TESTS)

FUZZ_SECONDS ?= 60
fuzz: $(VENV)/installed-test
	CYXLA_FUZZ=$(FUZZ_SECONDS) $(BIN)/python -m pytest -q tests/native/test_native_loader.py

bench: $(VENV)/installed-bench
	$(BIN)/python -m bench

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint pyx
	$(BIN)/mypy
	cd python && ../$(BIN)/lint-imports --config ../setup.cfg

wheel: $(BIN)/python
	$(BIN)/python $(PIP) wheel --no-deps -w dist .

test-newest:
	@py=$$($(FIND_PYTHON_3_13)); if [ -z "$$py" ]; then echo "No Python 3.13 here: the newest jaxlib goes untested."; else \
	$(MAKE) --no-print-directory test-wheel VENV=.venv-newest PYTHON=$$py; fi

.PHONY: test-wheel
test-wheel: $(WHEEL)
	$(BIN)/python $(PIP) install --upgrade --upgrade-strategy eager "$$(echo build/wheel$(VENV)/*.whl)[test-newest]"
	$(BIN)/python $(PIP) install --force-reinstall --no-deps build/wheel$(VENV)/*.whl
	$(BIN)/python -c 'import sys, cyxla, jaxlib; print("cyxla", cyxla.__file__, "jaxlib", jaxlib.__version__, "Python", sys.version)'
	$(BIN)/python $(PYTEST) $(NEWEST_TESTS)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install --upgrade pip

# What is installed is a wheel, rebuilt when a source changed.
$(WHEEL): $(SOURCES) | $(BIN)/python
	rm -rf $(@D)
	$(BIN)/python $(PIP) wheel --no-deps -w $(@D) .
	@touch $@

ifeq ($(DEV_PATH),)
$(VENV)/installed-demo $(VENV)/installed-test $(VENV)/installed-bench: $(VENV)/installed-%: $(WHEEL)
	$(BIN)/python $(PIP) install "$$(echo build/wheel$(VENV)/*.whl)[$*]"
	$(BIN)/python $(PIP) install --force-reinstall --no-deps build/wheel$(VENV)/*.whl
	@touch $@
else
.PHONY: $(VENV)/installed-demo $(VENV)/installed-test $(VENV)/installed-bench
$(VENV)/installed-demo $(VENV)/installed-test $(VENV)/installed-bench: dev
endif

$(VENV)/installed-lint: pyproject.toml | $(BIN)/python
	$(call install_requirements,run lint)
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python $(PIP) uninstall -y cyxla
	$(call install_requirements,build run demo test-tools test lint) ninja $(if $(shell command -v cmake),,cmake)
	$(BIN)/python -c 'import pathlib, sysconfig; \
		(pathlib.Path(sysconfig.get_path("purelib")) / "cyxla-dev.pth").write_text("$(CURDIR)/python\n")'
	@touch $@

# A module that does not compile does not keep the others from compiling.
dev: $(VENV)/installed-dev
	@mkdir -p build
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(LOCK) cmake -S . -B build/dev -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
		-DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja >build/cmake.log || { cat build/cmake.log; exit 1; }
	@$(LOCK) $(BIN)/ninja -C build/dev -k 0 >build/dev.log; status=$$?; \
		grep -v -E '^\[[0-9/]+\] (Generating|Building|Linking)' build/dev.log; exit $$status

clean:
	rm -rf build dist
