# Everything from a clean checkout: each target sets up what it needs. `make help` lists targets and variables.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MLM := $(BIN)/mlm-pipeline
STAMP := $(VENV)/.installed

# What a user would change, on the command line: make corpus INPUT='texts/*.txt' OUT=out/mine
SAMPLE := out/sample.txt
INPUT ?= $(SAMPLE)
FORMAT ?= $(if $(filter $(SAMPLE),$(INPUT)),lines,auto)
OUT ?= out/corpus
VOCAB ?= vocab/sample-uncased-8k.txt
VOCAB_SIZE ?= 8192
KIND ?= wordpiece
SEQ_LENGTH ?= 128
PREDICTIONS ?=
CORPUS_CONFIG ?= configs/corpus-packed.yaml
CONFIG ?= configs/pretrain-small.yaml
RUN ?= out/run
RUNNER ?=
WORKERS ?= $(shell nproc 2>/dev/null || echo 1)
ARGS ?=

# `set -f` below hands globs on as they are: the command expands them, on any file system.
COMMON = --workers $(WORKERS) $(if $(RUNNER),--runner=$(RUNNER)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup sample-corpus input vocab corpus pretrain test test-slow test-engines test-pythons dist mutation lint format docs site clean peers huggingface bench bench-memory bench-vocab bench-loader bench-reading bench-training bench-quality bench-attention bench-gpu scaling interoperability peer-tests parity parity-fixture loss-curves optimizer-numbers

help: ## list targets and variables
	@echo "Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables (make corpus INPUT='texts/*.txt' OUT=out/mine):"
	@echo "  INPUT           raw text: files, directories or quoted globs    [$(INPUT)]"
	@echo "  FORMAT          auto, bert, lines, wrapped ... (corpus --help)  [$(FORMAT)]"
	@echo "  OUT             directory of the corpus                         [$(OUT)]"
	@echo "  VOCAB           vocabulary to use, or to learn (make vocab)     [$(VOCAB)]"
	@echo "  VOCAB_SIZE      entries of a vocabulary that is learned         [$(VOCAB_SIZE)]"
	@echo "  KIND            of that: wordpiece, unigram, bpe or bytebpe     [$(KIND)]"
	@echo "  SEQ_LENGTH      tokens of an example                            [$(SEQ_LENGTH)]"
	@echo "  PREDICTIONS     room for masked tokens; empty: 15 % of the length [$(PREDICTIONS)]"
	@echo "  CORPUS_CONFIG   options of the corpus; empty: BERT's pairs       [$(CORPUS_CONFIG)]"
	@echo "  CONFIG          training config                                 [$(CONFIG)]"
	@echo "  RUN             directory of the training run                   [$(RUN)]"
	@echo "  RUNNER          Beam runner; empty: processes on this machine   [$(RUNNER)]"
	@echo "  WORKERS         processes on this machine                       [$(WORKERS)]"
	@echo "  ARGS            anything else to pass to the command            [$(ARGS)]"

setup: $(STAMP) ## make the virtual environment in .venv

$(STAMP): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

sample-corpus: $(STAMP) ## extract the sample corpus from installed packages' documentation
	$(MLM) sample-corpus --output $(SAMPLE)

# Text of one's own needs no sample.
input: $(STAMP) $(if $(filter $(SAMPLE),$(INPUT)),sample-corpus)

vocab: input ## learn the vocabulary VOCAB from INPUT
	set -f; $(MLM) vocab --input $(INPUT) --format $(FORMAT) --output $(VOCAB) --kind $(KIND) \
	  --vocab-size $(VOCAB_SIZE) $(COMMON)
	$(if $(filter vocab/sample-%,$(VOCAB)),cp $(SAMPLE).json vocab/sample-corpus.json)

corpus: input ## make the corpus OUT of TFRecords from INPUT
	set -f; $(MLM) corpus --input $(INPUT) --format $(FORMAT) --output $(OUT) --vocab $(VOCAB) --max-seq-length $(SEQ_LENGTH) \
	  $(if $(PREDICTIONS),--max-predictions-per-seq $(PREDICTIONS)) $(if $(CORPUS_CONFIG),--config $(CORPUS_CONFIG)) $(COMMON)

pretrain: corpus ## pre-train a model on the corpus, into RUN
	$(MLM) pretrain --config $(CONFIG) --corpus $(OUT) --run $(RUN)

# Each file's tests on one of up to four cores: a test with TensorFlow takes a gigabyte.
PYTEST = $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --durations=25

test: $(STAMP) ## run the tests
	$(PYTEST) -m 'not slow'

test-slow: $(STAMP) ## run the end-to-end proofs that take minutes
	$(PYTEST) -m slow

# Where these are missing, the tests of Flink and Spark say so and are skipped.
ENGINE_JARS := $(if $(and $(shell command -v mvn 2>/dev/null),$(shell command -v java 2>/dev/null)),$(foreach engine,flink spark,out/engines/$(engine)/jars/.complete))

test-engines: out/engines/.installed $(ENGINE_JARS) ## run the proofs on clusters and object stores; some need Go, or Maven and Java
	out/engines/bin/python -m pytest -m slow tests/engines tests/test_object_stores.py

out/engines/.installed: setup.cfg pyproject.toml constraints.txt
	test -x out/engines/bin/python || $(PYTHON) -m venv out/engines
	out/engines/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[dev,gcp]' gcp-storage-emulator
	if command -v go; then GOBIN=$(CURDIR)/out/engines/bin go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0; fi
	touch $@

out/engines/%/jars/.complete: tests/engines/java/%.xml
	rm -rf $(@D)
	mvn --batch-mode --quiet --file $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(@D)
	touch $@

test-pythons: $(STAMP) ## try each other Python that is installed: set-up, a corpus, 10 steps (10 minutes for each, the first time)
	TEST_PYTHONS=1 $(BIN)/python -m pytest tests/test_pythons.py

dist: out/dist-tools/.installed ## build the sdist and the wheel in dist/, and check what package indexes show of them
	rm -rf dist
	out/dist-tools/bin/python -m build --outdir dist
	out/dist-tools/bin/twine check --strict dist/*

out/dist-tools/.installed:
	test -x out/dist-tools/bin/python || $(PYTHON) -m venv out/dist-tools
	out/dist-tools/bin/python -m pip install --quiet --disable-pip-version-check build twine
	touch $@

mutation: $(STAMP) out/mutation/.installed ## plant 100 small faults one at a time; how many do the tests find? (15 minutes)
	out/mutation/bin/python bench/mutation.py --python $(BIN)/python $(BENCH_ARGS)

lint: $(STAMP) ## check style, imports and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

peers: out/peers/.installed ## make the environment of the projects that benchmarks compare with (3 GB)

huggingface: out/huggingface/.installed ## make the environment that exported models and data loaders are tested in (6 GB)

out/%/.installed: bench/%.txt
	test -x out/$*/bin/python || $(PYTHON) -m venv out/$*
	out/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement bench/$*.txt
	touch $@

# Text for the benchmarks, and a vocabulary: by default, one of 30,522 entries is learned from the text.
BENCH_TEXT ?= $(SAMPLE)
BENCH_ARGS ?=

bench: $(STAMP) peers sample-corpus ## measure the corpus job and its peers by turns; a table and a picture (20 minutes)
	$(BIN)/python -m bench.corpus_jobs $(BENCH_TEXT) $(BENCH_ARGS)
	$(BIN)/python -m bench.corpus_report out/bench/results.jsonl --picture out/bench/performance.svg

bench-memory: $(STAMP) sample-corpus ## measure the memory of corpus jobs of 50 to 800 MB of text, in one file and in many
	$(BIN)/python -m bench.memory $(BENCH_TEXT) $(BENCH_ARGS)

bench-vocab: $(STAMP) peers sample-corpus ## measure the learning of a vocabulary beside Hugging Face's tokenizers
	$(BIN)/python -m bench.vocabulary $(BENCH_TEXT) $(BENCH_ARGS)

bench-loader: $(STAMP) peers sample-corpus ## measure examples a second of the loader beside tensorflow/models'
	$(BIN)/python -m bench.loader $(BENCH_TEXT) $(BENCH_ARGS)

bench-reading: $(STAMP) sample-corpus ## measure the reader: pace, memory, resuming, shuffle quality
	$(BIN)/python -m bench.reading $(BENCH_TEXT) $(BENCH_ARGS)

bench-training: $(STAMP) peers sample-corpus ## measure tokens a second of training beside tensorflow/models
	$(BIN)/python -m bench.training $(BENCH_TEXT) $(BENCH_ARGS)

bench-quality: $(STAMP) peers huggingface sample-corpus ## compare held-out losses after equal CPU minutes, beside two peers (hours)
	$(BIN)/python -m bench.quality $(BENCH_TEXT) $(BENCH_ARGS)

bench-attention: $(STAMP) ## measure time and memory of a local layer beside a global one
	$(BIN)/python -m bench.attention $(BENCH_ARGS)

bench-gpu: $(STAMP) ## measure training on a GPU, beside transformers if `make huggingface` was run; tokens a second, share of peak
	$(BIN)/python -m bench.gpu $(BENCH_ARGS)

scaling: $(STAMP) sample-corpus ## predict jobs of 1 GB to 10 TB from what is measured here; a table
	$(BIN)/python -m bench.scaling $(BENCH_TEXT) vocab/sample-uncased-8k.txt

interoperability: $(STAMP) peers sample-corpus ## read our shards with tensorflow/models, and its with our loader
	$(BIN)/python bench/interoperability.py $(SAMPLE)

peer-tests: $(STAMP) out/peer-tests/.installed ## run tensorflow/models' own tests against this package (2 minutes)
	$(BIN)/python -m bench.peer_tests out/peer-tests/wheel

# Its tests alone, without what it depends on.
out/peer-tests/.installed: bench/peers.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target out/peer-tests/wheel \
	  $$(grep '^tf-models-official' bench/peers.txt)
	touch $@

parity: $(STAMP) peers ## compare logits, loss, gradients and steps with tensorflow/models' own
	$(BIN)/python bench/parity.py

parity-fixture: $(STAMP) peers ## record tensorflow/models' numbers for the tests
	$(BIN)/python bench/parity.py --write

loss-curves: $(STAMP) peers sample-corpus ## train on the same records as tensorflow/models, and draw both losses
	$(BIN)/python bench/loss_curves.py $(SAMPLE) docs/loss-curves.svg

optimizer-numbers: $(STAMP) peers ## record tensorflow/models' schedules and optimisers for the tests
	out/peers/bin/python bench/optimizer_numbers.py

docs: $(STAMP) ## write docs/options.md, docs/api/index.md and docs/rooms.svg
	$(BIN)/python docs/make_options.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_rooms.py

site: $(STAMP) out/site-tools/.installed ## write the documentation as a site to out/site
	$(BIN)/python docs/make_commands.py
	NO_MKDOCS_2_WARNING=1 out/site-tools/bin/mkdocs build --strict --quiet

out/site-tools/.installed: docs/requirements.txt
	test -x out/site-tools/bin/python || $(PYTHON) -m venv out/site-tools
	out/site-tools/bin/python -m pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	touch $@

clean: ## remove everything that was made, the environment too
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
