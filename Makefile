PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# For those who change the engine: compiles pyx/ in place, only what changed.
dev:
	@flock build/.lock cmake -S . -B build/dev -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja >build/cmake.log || { cat build/cmake.log; exit 1; }
	@flock build/.lock $(BIN)/ninja -C build/dev -k 0 | grep -v -E '^\[[0-9/]+\] (Generating|Building|Linking)' || true
