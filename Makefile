# SPDX-License-Identifier: Apache-2.0
# The short commands. meson does the work; this file remembers how it is called.

BUILD ?= build
CC ?= gcc

.PHONY: all setup demo check unit e2e e2e-cold e2e-pool soak lint format fuzz bench install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	scripts/setup build
	meson setup $(BUILD)

# Installs what is missing, builds, and runs a first container.
demo:
	scripts/setup run
	scripts/setup build
	$(MAKE) all
	scripts/demo $(BUILD)

# Installs what is missing and passes every test; SUITE=lint|unit|e2e runs a part of it and
# TESTS='pattern …' only the end-to-end tests whose names contain one of the patterns.
check:
	scripts/setup check
	tests/run $(SUITE) $(TESTS)

unit:
	tests/run unit

e2e:
	tests/run e2e $(TESTS)

# The same with VMs that boot, or that wait ready in a pool, instead of clones of a template.
e2e-cold e2e-pool:
	CAY_TEST_START=$(@:e2e-%=%) tests/run e2e $(TESTS)

# COUNT containers (default 1000), four at a time: none may fail, nothing may be left.
soak: all
	tests/soak $(or $(COUNT),1000)

lint:
	tests/run lint

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

# Fuzzes every parser for SECONDS each (default 60), FUZZERS='name …' only some.
fuzz:
	scripts/setup check
	tests/fuzz/run $(or $(SECONDS),60) $(FUZZERS)

bench: all
	scripts/setup bench
	bench/run

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-check build-fuzz
