# make demo    the library's main job on a real network: install, prove, time, train, draw
# make test    the fast suite          make lint types    style and types
# make test-slow test-all  the slow ones, and both   make test-pyg  with torch-scatter and torch-sparse
# make test-loaders  checkpoints in accelerate, Lightning, PEFT and transformers
# make test-newest test-oldest  the fast suite with other torches, in environments of their own
# make test-triton  the CUDA kernels, interpreted   make test-cuda bench-cuda  on a GPU, without pip
# make bench   a few minutes of them   make bench-all     every workload, batch and peer: hours
# make view    the page of the viewer, by npm   make test-view  it, in Chromium
# make wheels  a wheel for each platform, with zig as the compiler, into dist/, and the sdist
# make test-wheels  this machine's wheel where no compiler is    make test-elsewhere  the others,
#              under qemu and wine
# make docs    the manual, in docs/_build/html; its pages are run
# make clean   remove what these made

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
JOBS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
FUZZ_SECONDS ?= 60
KERNELS := $(wildcard edgelinear/kernels/*)
CONSTRAINTS ?= $(CURDIR)/constraints.txt
# Exported, so that isolated builds keep to the tested versions as well: older pips read the first
# for them, newer ones the second.
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)

.PHONY: demo test test-slow test-all test-pyg test-loaders test-triton test-cuda test-newest test-oldest
.PHONY: view test-view lint types format kernels sanitize fuzz wheels test-wheels test-elsewhere
.PHONY: bench bench-all bench-cuda docs clean

demo: $(VENV)/.demo
	$(BIN)/edgelinear demo

ELSEWHERE := not pyg and not loaders and not triton and not browser

test: $(VENV)/.test
	$(PYTEST) -m "not slow and $(ELSEWHERE)" --cov --cov-report=term-missing:skip-covered

test-slow: $(VENV)/.test-all
	$(PYTEST) -m "slow and $(ELSEWHERE)"

test-all: test test-slow

test-pyg: $(VENV)/.pyg
	$(BIN)/python -c "import torch_scatter, torch_sparse, torch_geometric"
	$(PYTEST) -m pyg

test-loaders: $(VENV)/.loaders
	$(PYTEST) -m loaders
	PYTHONPATH=$(CURDIR)/$(VENV)/transformers4 $(PYTEST) -m loaders tests/loaders/test_transformers.py

# The fast suite with the newest torch of the package index, and with the oldest that pyproject.toml
# allows, each in an environment of its own: gigabytes, where the index has CUDA builds alone.
test-newest: TORCH := torch
test-oldest: TORCH := $(shell sed -nE 's/.*"torch>=([0-9.]+)".*/torch==\1.*/p' pyproject.toml)
test-newest test-oldest: test-%:
	mkdir -p build
	grep -vE '^(torch|triton)==' constraints.txt > build/$*.txt
	echo '$(TORCH)' >> build/$*.txt
	$(PYTHON) -m venv .venv-$*
	PIP_CONSTRAINT=build/$*.txt .venv-$*/bin/python -m pip install --quiet --upgrade torch
	$(MAKE) test VENV=.venv-$* CONSTRAINTS=$(CURDIR)/build/$*.txt

# Without a GPU, Triton interprets the kernels on the CPU.
test-triton: $(VENV)/.triton
	TRITON_INTERPRET=1 $(PYTEST) -m triton

# The page is committed as it is built, so that an install needs no npm.
WEB := edgelinear/viewer/web
NPM := npm --prefix $(WEB) --silent

view: $(WEB)/node_modules/.installed
	$(NPM) run build

test-view: $(VENV)/.test-view view
	$(NPM) test
	$(PYTEST) -m browser tests/viewer/browser

# These take the python that has torch for CUDA, as no virtual environment here has it, and the
# source tree as it is.
CUDA_PYTHON := PYTHONPATH=$(CURDIR) $(PYTHON)
SANITIZER := compute-sanitizer --error-exitcode 1 --target-processes all

test-cuda:
	$(CUDA_PYTHON) -c "import torch; assert torch.cuda.is_available(), 'no CUDA device'"
	$(CUDA_PYTHON) -m pytest -m cuda -n 8
	PYTORCH_NO_CUDA_MEMORY_CACHING=1 PYTHONPATH=$(CURDIR) $(SANITIZER) --tool memcheck \
	$(PYTHON) -m pytest tests/backends/test_triton.py -m "cuda and not slow" -k "dense_matmul and float32"
	PYTHONPATH=$(CURDIR) $(SANITIZER) --tool racecheck \
	$(PYTHON) -m pytest tests/backends/test_triton.py -m "cuda and not slow" -k "run_to_run"

bench-cuda:
	$(CUDA_PYTHON) benchmarks/gpu.py

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet .github

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The kernels built apart by any compiler, as `make kernels CXX=clang++`, and their tests on them.
kernels: $(VENV)/.test
	cmake -S edgelinear/kernels -B build/$(CXX) -DWERROR=ON -DCMAKE_CXX_COMPILER=$(CXX)
	cmake --build build/$(CXX) --parallel 2
	EDGELINEAR_LIBRARY=$(CURDIR)/build/$(CXX)/libedgelinear.so $(PYTEST) tests/test_cpp.py -m "not slow"

# The same under AddressSanitizer and UndefinedBehaviorSanitizer. Python itself leaks at its end.
sanitize: $(VENV)/.test
	cmake -S edgelinear/kernels -B build/sanitize -DSANITIZE=ON -DCMAKE_CXX_COMPILER=g++
	cmake --build build/sanitize --parallel 2
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 EDGELINEAR_LIBRARY=$(CURDIR)/build/sanitize/libedgelinear.so \
	$(BIN)/python tests/fuzz.py $(FUZZ_SECONDS)

wheels: $(VENV)/.wheels
	$(BIN)/python .ci/wheels.py --to dist

# Built for this machine alone, which takes a third of the time.
test-wheels: $(VENV)/.wheels
	$(BIN)/python .ci/wheels.py --to dist linux_$$(uname -m) any
	$(BIN)/python .ci/clean.py --wheels dist

test-elsewhere: wheels
	$(BIN)/python .ci/elsewhere.py --wheels dist

# Random problems against a dense matmul in float64, for FUZZ_SECONDS.
fuzz: $(VENV)/.test
	$(BIN)/python tests/fuzz.py $(FUZZ_SECONDS)

bench: $(VENV)/.demo
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/run.py

# A peer whose environment cannot be made is left out. The last one reads the source tree, and the
# kernels that were built for the first environment.
LIBRARY := from edgelinear.backends import library; print(library.library_path())
bench-all: $(VENV)/.demo $(VENV)/.pyg
	-$(BIN)/python benchmarks/environments.py
	$(BIN)/python benchmarks/run.py --all
	$(BIN)/python benchmarks/run.py --memory
	$(BIN)/python benchmarks/parallel.py
	PYTHONPATH=. EDGELINEAR_LIBRARY="$$($(BIN)/python -c '$(LIBRARY)')" \
	benchmarks/.venvs/networks/bin/python benchmarks/networks.py

# Pages whose code or whose package is new are run; a warning is an error.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -n -q -d docs/_build/read docs docs/_build/html \
	|| { rm -rf docs/_build/read; exit 1; }  # or the next run would pass over what it has read
	@echo "the manual: docs/_build/html/index.html"

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest build dist docs/_build edgelinear-demo
	rm -rf benchmarks/.venvs benchmarks/.cache $(WEB)/node_modules $(WEB)/build
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The kernels are compiled once. One stamp for each extra, so that a second run installs nothing.
$(VENV)/.package: pyproject.toml constraints.txt $(KERNELS) | $(BIN)/python
	$(INSTALL) -e .
	touch $@

EXTRAS := $(addprefix $(VENV)/.,demo test test-all test-view dev docs)
$(EXTRAS): $(VENV)/.%: $(VENV)/.package
	$(INSTALL) 'edgelinear[$*]'
	touch $@

$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json
	$(NPM) ci
	touch $@

# transformers 4 loads in another way than 5: it stands beside, and goes before it on the path.
TRANSFORMERS4 := transformers==4.57.6 huggingface_hub==0.36.2 tokenizers==0.22.2 requests==2.34.2 \
	certifi==2026.10.19.post1 charset-normalizer==3.5.3 idna==3.20 urllib3==2.8.0

$(VENV)/.loaders: $(VENV)/.test
	$(INSTALL) 'edgelinear[loaders]'
	PIP_CONSTRAINT= $(INSTALL) --no-deps --target $(VENV)/transformers4 $(TRANSFORMERS4)
	touch $@

$(VENV)/.wheels: $(VENV)/.test
	$(INSTALL) ziglang wheel
	touch $@

$(VENV)/.triton: $(VENV)/.test
	$(INSTALL) triton
	touch $@

# torch-scatter and torch-sparse compile against the torch that is installed: torch comes first, and
# no isolation. pip keeps the wheels that it builds.
$(VENV)/.pyg: $(VENV)/.test
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation torch-scatter torch-sparse
	$(INSTALL) torch-geometric
	touch $@
