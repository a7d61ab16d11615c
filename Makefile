PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
LOOSE := --allow-untyped-defs --allow-incomplete-defs --allow-any-generics  # scripts are not a public interface

.PHONY: demo test test-slow train lint format clean

demo: $(VENV)/.core  ## draw digits and hearts at several sizes from the bundled weights, and a page to zoom into them
	$(BIN)/s2id sample mnist --label all --seed 0-9 --size 28x28 --grid --out demo
	$(BIN)/s2id sample mnist --label 2 --seed 0 --fields --out demo \
	  --size 28x28 --size 61x37 --size 1024x1024 --size 1024x576
	$(BIN)/s2id sample emoji --words "red heart" --style all --size 256 --grid --out demo
	$(BIN)/s2id render demo/label2-seed0.safetensors --size 512x512 --window 0.125,0.375,0.5,0.75
	$(BIN)/s2id sample mnist --label all --seed 0-2 --size 256 --fields --out demo/gallery
	$(BIN)/s2id export demo/gallery/*.safetensors --out demo/index.html
	@echo "the pictures:"; ls demo/*.png; echo "to zoom into: demo/index.html"

test: $(VENV)/.dev  ## all fast tests, on every processor
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --dist worksteal

test-slow: $(VENV)/.dev  ## the tests that take minutes
	$(BIN)/pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy $(LOOSE) runs
	$(BIN)/mypy $(LOOSE) benchmarks

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(VENV)/.dev  ## the shipped MNIST model, from scratch
	bash runs/train_mnist.sh $(DATA)

clean:
	rm -rf $(VENV) demo out

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@
