# make demo   sets itself up, then: train, decouple, fine-tune, convert, verify and time VGG-7 on digits
# make test   sets itself up, then runs every test but the slow ones
# make test-slow, lint, check, clean
# make test-pythons   a short part of the tests on the oldest and the newest supported Python that this machine has
# make wheels         builds the runtime's wheels for Linux (x86-64, ARM), macOS and Windows into dist/
# make emulation      sets up the emulated Raspberry Pi that some of the slow tests run on (Debian and Ubuntu for x86-64)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/digits
TESTS := -n auto --dist loadfile
CPP := $(addprefix runtime/, src bench fuzz tests/cpp emulation)

.PHONY: setup emulation wheels demo test test-slow test-pythons lint check clean

setup: $(VENV)/ready $(VENV)/runtime

$(VENV)/ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else "Python 3.10, 3.11 or 3.12 is needed, this is %d.%d: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

# The runtime is C++: installed again whenever its sources change.
$(VENV)/runtime: $(VENV)/ready $(shell find runtime/src runtime/bduo_runtime -name '*.cc' -o -name '*.h' -o -name '*.inc' -o -name '*.py') runtime/CMakeLists.txt runtime/cmake/kernels.cmake runtime/pyproject.toml
	@command -v $${CXX:-c++} > /dev/null || { echo "A C++ compiler is needed (Debian: apt-get install g++; or CXX=...)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ./runtime
	touch $@

emulation: $(VENV)/pi/ready

$(VENV)/pi/ready: $(VENV)/ready runtime/emulation/setup.sh runtime/emulation/icount.c
	PYTHON=$(BIN)/python runtime/emulation/setup.sh $(VENV)/pi

wheels: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement runtime/requirements-release.txt
	$(BIN)/python runtime/release.py --output dist

demo: setup
	$(BIN)/python -m train vgg7 --dataset digits --run $(RUN)
	$(BIN)/python -m convert $(RUN) --float
	$(BIN)/python -m benchmarks.summary $(RUN)

test: setup
	$(BIN)/python -m pytest $(TESTS) -m "not slow"

test-slow: setup
	@$(MAKE) --no-print-directory emulation || echo "Without an emulated Raspberry Pi, its tests are skipped."
	$(BIN)/python -m pytest $(TESTS) -m slow

test-pythons: setup
	.ci/pythons

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find $(CPP) -name '*.cc' -o -name '*.h' -o -name '*.c')
	$(BIN)/mypy

check: lint test test-pythons test-slow

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis runtime/build
