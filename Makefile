# zpp: build, set-up and tests. `make help` lists the targets; results are in out/.
#
# The configuration comes from environment.config through efi_image/config/environment.py, which checks it.
# `make run`, `make test`, `make check` and `make bench` do the set-up themselves: after it they
# start make again, because on a new machine not even Python was there when this file was read.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

CACHE := .cache
PYTHON := .venv/bin/python
ZPP_IMAGE := .venv/bin/zpp-image
LOGS := out/test-logs

# Without -j, independent steps of set-up and build still run side by side.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
AGAIN = +@$(MAKE) $(PARALLEL)

ifneq ($(words $(CURDIR)),1)
$(error the path of this checkout has a blank, which make cannot work with: $(CURDIR))
endif

# ---- configuration

WITHOUT_CONFIGURATION := help setup packages fuzz man clean distclean
AFTER_SETUP := run test check
GOALS := $(or $(MAKECMDGOALS),all)

ifneq ($(filter-out $(WITHOUT_CONFIGURATION),$(GOALS)),)
ifneq ($(shell command -v python3),)
define NEWLINE


endef
SEPARATOR := $(shell printf '\001')
QUOTED = '$(subst ','\'',$(1))'
OVERRIDES := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword \
    $(origin $(name)))),$(call QUOTED,$(name)=$(value $(name)))))
SETTINGS := $(shell python3 -m efi_image.config.environment --make -- $(OVERRIDES) 2>&1 | tr '\n' '\001')
ifneq ($(.SHELLSTATUS),0)
$(error $(subst $(SEPARATOR),,$(SETTINGS)))
endif
$(eval $(subst $(SEPARATOR),$(NEWLINE),$(SETTINGS)))
OUT := out/$(CONFIGURATION)/$(SELECTED_ARCHITECTURE)
else ifneq ($(filter-out $(WITHOUT_CONFIGURATION) $(AFTER_SETUP) bench,$(GOALS)),)
$(error python3 is missing: run 'make setup' first)
endif
endif

# ---- help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'
	@printf '\nVariables (see environment.config): make CONFIGURATION=debug …\n'

# ---- set-up

.PHONY: setup packages setup-steps setup-venv setup-rig setup-edk2 setup-guest setup-kernels
setup: ## Install what is missing: packages, .venv, EDK2, Bochs, the Linux guest, kernels
setup: packages
	$(AGAIN) setup-steps

packages:
	@.ci/setup/packages.sh

setup-steps: setup-venv setup-rig setup-edk2 setup-guest setup-kernels

setup-venv:
	@.ci/setup/venv.sh

setup-rig: setup-venv
	@$(ZPP_IMAGE) bochs install | sed -u 's/^/setup: /'

setup-edk2:
	@EDK2_ROOT='$(EDK2_ROOT)' python3 uefi/edk2.py --cache $(CACHE) | sed -u 's/^/setup: /'

setup-guest:
	@python3 tests/guest/linux/build.py fetch --cache $(CACHE)/linux-guest
	@python3 tests/guest/usb/usb_build.py fetch --cache $(CACHE)/usb-guest
	@echo "setup: Linux guests are ready ($$(head -n 1 $(CACHE)/linux-guest/packages))"

setup-kernels:
	@python3 tests/guest/linux/kernels.py fetch --cache $(CACHE)
	@echo "setup: kernels for the Linux module's tests are ready"

.PHONY: ready
ready:
	@[ -x $(TOOLCHAIN)/clang ] && [ -x $(PYTHON) ] && [ -n '$(EDK2_ROOT)' -o -d $(CACHE)/edk2 ] || \
	    { echo "make: not everything is installed: run 'make setup' first" >&2; exit 1; }

# ---- build

IN = CONFIGURATION=$(CONFIGURATION) TOOLCHAIN=$(TOOLCHAIN) OUT=$(CURDIR)/$(OUT)
IN_UEFI = $(IN) EDK2_ROOT=$(or $(EDK2_ROOT),$(CURDIR)/$(CACHE)/edk2) SERIAL_PORT=$(SERIAL_PORT) \
    HYPERVISOR_WAIT_FOR_DEBUGGER=$(HYPERVISOR_WAIT_FOR_DEBUGGER)

IN_LINUX = $(IN) LINUX_KERNEL='$(LINUX_KERNEL)' \
    HYPERVISOR_WAIT_FOR_DEBUGGER=$(HYPERVISOR_WAIT_FOR_DEBUGGER)

.PHONY: all core environment linux uefi linux-guest linux-loader efi-guest waiting-guest unoptimized-guest \
    kernels
all: ## Build all drivers of BUILD_DRIVERS into out/ (default; use -j)
all: core environment $(BUILD_DRIVERS)

core: ready
	@$(MAKE) -C hypervisor $(IN)
	@python3 .ci/setup/compile_commands.py $(TOOLCHAIN) $(OUT)/hypervisor

environment: ## Make out/environment/, the files for debuggers
	@python3 -m efi_image.debug.scripts -- $(OVERRIDES)

IN_WINDOWS = $(IN) SERIAL_PORT=$(SERIAL_PORT) HYPERVISOR_WAIT_FOR_DEBUGGER=$(HYPERVISOR_WAIT_FOR_DEBUGGER) \
    VISUAL_STUDIO_ROOT='$(VISUAL_STUDIO_ROOT)' WINDOWS_KITS_ROOT='$(WINDOWS_KITS_ROOT)' \
    WINDOWS_KITS_VERSION='$(WINDOWS_KITS_VERSION)'

.PHONY: windows windows-tests
windows: core
	@$(MAKE) -C windows $(IN_WINDOWS)

# The same driver on Wine's kernel, for the tests.
windows-tests: windows
	@$(MAKE) -C windows $(IN_WINDOWS) tests

linux: core
	@$(MAKE) -C linux $(IN_LINUX)

uefi: core
	@$(MAKE) -C uefi $(IN_UEFI)

efi-guest: uefi
	@$(MAKE) -C uefi $(IN_UEFI) tests

# The same core by a driver that lets it wait for a debugger, for the tests.
waiting-guest: uefi
	@$(MAKE) -C uefi $(IN_UEFI) OUT=$(CURDIR)/$(OUT)/waiting \
	    HYPERVISOR_ELF=$(CURDIR)/$(OUT)/hypervisor.elf HYPERVISOR_WAIT_FOR_DEBUGGER=1

# The core of a debug build, for the tests: its slow handlers must not lose a SIPI.
unoptimized-guest: uefi
	@$(MAKE) -C hypervisor $(IN) CONFIGURATION=debug OUT=$(CURDIR)/$(OUT)/unoptimized
	@$(MAKE) -C uefi $(IN_UEFI) OUT=$(CURDIR)/$(OUT)/unoptimized

linux-guest: ready $(OUT)/linux-guest/initrd.img $(OUT)/usb-guest/initrd.img

GUEST_SOURCES := $(wildcard tests/guest/linux/* tests/guest/linux/program/* tests/guest/linux/spoil/*) hypervisor/include/zpp/hypercall.h
$(OUT)/linux-guest/initrd.img: $(GUEST_SOURCES) $(wildcard $(CACHE)/linux-guest/packages)
	@echo "linux-guest: building"
	@python3 tests/guest/linux/build.py build --cache $(CACHE)/linux-guest --out $(@D) \
	    --toolchain $(TOOLCHAIN)

$(OUT)/usb-guest/initrd.img: tests/guest/usb/usb_build.py tests/guest/usb/init tests/guest/linux/cpio.py \
    $(wildcard $(CACHE)/usb-guest/package $(CACHE)/linux-guest/packages)
	@echo "usb-guest: building"
	@python3 tests/guest/usb/usb_build.py build --cache $(CACHE)/usb-guest \
	    --busybox $(CACHE)/linux-guest/busybox --out $(@D)

# The kernels that load zpp.ko while they run: the oldest and the newest. Make looks at the core's
# file only after it was built: hence the second make.
LOADER_GUESTS := oldest newest
.PHONY: $(LOADER_GUESTS:%=linux-loader-%)
linux-loader: $(LOADER_GUESTS:%=linux-loader-%)
$(LOADER_GUESTS:%=linux-loader-%): linux-loader-%: core
	@$(MAKE) -s $(OUT)/linux-loader/$*/initrd.img

LOADER_SOURCES := $(wildcard linux/* hypervisor/loader/* hypervisor/include/zpp/*) $(GUEST_SOURCES)
$(OUT)/linux-loader/%/initrd.img: $(LOADER_SOURCES) $(OUT)/hypervisor.elf
	@python3 tests/guest/linux/kernels.py guest $* --cache $(CACHE) --out $(OUT) --toolchain $(TOOLCHAIN)

# SUITES=sid takes a part of them.
SUITES :=
kernels: ## Build the Linux module against all kernels of Debian's suites (SUITES=sid)
kernels: core
	@python3 tests/guest/linux/kernels.py matrix $(SUITES) --cache $(CACHE) --out $(OUT)

# ---- images

.PHONY: image guest-image
image: ## Make out/…/esp.img, a bootable image with the hypervisor
image: all
	@$(ZPP_IMAGE) make $(OUT)/esp.img

# Without no_timer_check a busy machine's Linux takes its timer for broken: QEMU's time runs on.
GUEST_CMDLINE := console=ttyS0,115200 quiet cryptomgr.notests no_timer_check
guest-image: all linux-guest
	@$(ZPP_IMAGE) make $(OUT)/linux-guest/esp.img --kernel $(OUT)/linux-guest/vmlinuz \
	    --initrd $(OUT)/linux-guest/initrd.img --cmdline '$(GUEST_CMDLINE)'

# ---- run, test, check, measure

.PHONY: $(AFTER_SETUP) $(AFTER_SETUP:%=%-now)
run: ## Set up, build, and boot the small Linux guest on the hypervisor
test: ## Set up, build, and run all tests
check: ## Check formats, types, spelling and headers
$(AFTER_SETUP): setup
	$(AGAIN) $(if $(filter check,$@),--keep-going --output-sync) $@-now

# ENGINE=bochs shows VT-x; otherwise auto, which is QEMU and AMD-V where no KVM nests.
ENGINE :=
ifneq ($(filter-out auto qemu bochs,$(ENGINE)),)
$(error ENGINE must be auto, qemu or bochs, not '$(ENGINE)')
endif
run-now: guest-image
	@$(PYTHON) tests/boot/demo.py $(OUT)/linux-guest/esp.img $(ENGINE)

# TESTS=tests/boot runs a part of them.
TESTS := tests/unit tests/boot
.PHONY: test-host
test-host: core
	@$(MAKE) -C tests/host $(IN)

test-now: $(if $(filter windows,$(BUILD_DRIVERS)),windows-tests)
test-now: all linux-guest linux-loader efi-guest waiting-guest unoptimized-guest test-host
	@mkdir -p $(LOGS)
	@$(PYTHON) -m pytest -n $(shell nproc) --dist worksteal $(TESTS) \
	    $(shell [ -t 1 ] && echo --color=yes) | tee $(LOGS)/pytest.log

# Each parser of foreign data in turn; FUZZ_SECONDS for each.
FUZZ_SECONDS := 60
.PHONY: fuzz
fuzz: ## Fuzz the parsers of foreign data (FUZZ_SECONDS=60 each)
fuzz: setup-venv
	@mkdir -p out/fuzz
	@for target in $$($(PYTHON) tests/fuzz/fuzz.py --list); do \
	    echo "fuzz: $$target"; mkdir -p out/fuzz/$$target; \
	    $(PYTHON) tests/fuzz/fuzz.py $$target out/fuzz/$$target -artifact_prefix=out/fuzz/ \
	        -max_total_time=$(FUZZ_SECONDS) -verbosity=0; \
	done

# Only the JSON goes to standard output. ONLY=image or ONLY=write measures that alone.
ONLY :=
ifneq ($(filter-out image write,$(ONLY)),)
$(error ONLY must be image or write, not '$(ONLY)')
endif
.PHONY: bench bench-build bench-now
bench: ## Measure, and print JSON
	+@$(MAKE) setup >&2
	@.ci/setup/packages.sh packages-bench >&2
	$(AGAIN) bench-build >&2
	+@$(MAKE) bench-now

bench-build: all linux-guest

bench-now:
	@PYTHONPATH=tests/boot:tests/bench $(PYTHON) tests/bench/bench.py $(OUT) $(or $(EDK2_ROOT),$(CACHE)/edk2) \
	    $(TOOLCHAIN) $(if $(ONLY),--only $(ONLY))

# What EDK2 builds follows EDK2's style.
C_FILES = $(shell git ls-files $(foreach folder,hypervisor linux ovmf/bochs tests/bench \
    tests/guest/linux tests/host windows tests/windows,'$(folder)/*.[ch]' '$(folder)/*.[ch]pp'))
SHELL_FILES = .ci/setup/packages.sh .ci/setup/venv.sh .ci/setup/check-names.sh tests/guest/linux/init \
    tests/guest/usb/init tests/guest/linux/init-loader tests/guest/linux/init-sshd linux/load.sh .ci/run

check-now: check-format check-headers check-tidy check-python check-spelling check-shell check-names

.PHONY: format
format: ## Format the C, C++ and Python sources
	@$(TOOLCHAIN)/clang-format -i $(C_FILES)
	@.venv/bin/ruff format --quiet .

.PHONY: check-format check-headers check-tidy check-python check-spelling check-shell check-names
check-format:
	@echo "check: clang-format"
	@$(TOOLCHAIN)/clang-format --dry-run --Werror $(C_FILES)

check-headers: core
	@echo "check: each header compiles alone"
	@$(PYTHON) .ci/setup/check_c.py headers $(TOOLCHAIN)

check-tidy: core
	@echo "check: clang-tidy"
	@$(PYTHON) .ci/setup/check_c.py tidy $(TOOLCHAIN)

check-python:
	@echo "check: ruff, mypy"
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy --no-error-summary
	@MYPYPATH=tests/boot:tests/bench:tests/guest/linux .venv/bin/mypy --no-error-summary tests/boot/*.py tests/bench/*.py \
	    .ci/setup/*.py
	@MYPYPATH=tests/guest/linux .venv/bin/mypy --no-error-summary tests/guest/linux/*.py \
	    tests/guest/usb/usb_build.py
	@MYPYPATH=tests/guest/usb .venv/bin/mypy --no-error-summary tests/guest/usb/write_sticks.py

check-spelling:
	@echo "check: codespell"
	@git ls-files -z | xargs -0 codespell --config .ci/setup/codespell.ini

check-shell:
	@echo "check: shellcheck"
	@shellcheck $(SHELL_FILES)

check-names:
	@echo "check: no names of hosts or of this machine's folders"
	@.ci/setup/check-names.sh

# ---- distribution and cleaning

.PHONY: man dist clean distclean
man: ## Make the man pages of zpp-image in out/man/
man: setup-venv
	@PYTHONPATH=. $(PYTHON) .ci/setup/man_pages.py out/man $$(git log -1 --format=%cs)

dist: ## Make a wheel, a source tarball and the man pages in out/dist/
dist: ready man
	@mkdir -p out/dist
	@.venv/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir out/dist .
	@version=$$($(PYTHON) -c 'import efi_image; print(efi_image.__version__)'); \
	    git archive --format=tar --prefix="zpp-$$version/" HEAD | gzip -n9 >"out/dist/zpp-$$version.tar.gz"
	@version=$$($(PYTHON) -c 'import efi_image; print(efi_image.__version__)'); \
	    tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$$(git log -1 --format=%ct) \
	    -C out/man . | gzip -n9 >"out/dist/zpp-image-$$version-man.tar.gz"
	@ls out/dist/*

clean: ## Remove what was built; downloads stay
	@rm -rf out compile_commands.json

distclean: ## Remove downloads and the Python environment too (the Bochs root: zpp-image bochs remove)
distclean: clean
	@rm -rf $(CACHE) .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
