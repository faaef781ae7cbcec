# Set-up, build, tests and checks of zpp. `make help` lists the targets; results go to out/.
#
# The settings come from environment.config; efi_image/config/environment.py reads and checks them.
# The targets in AFTER_SETUP run the set-up first, then start make again for TARGET-now: on a new
# machine not even Python was there when this file was read.

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

# Without -j, steps that do not depend on each other still run in parallel.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
AGAIN = +@$(MAKE) $(PARALLEL)

ifneq ($(words $(CURDIR)),1)
$(error make cannot work in a folder with a blank in its path; move the checkout: $(CURDIR))
endif

# ---- settings

WITHOUT_SETTINGS := help setup setup-run fuzz man clean distclean
TESTING := test test-unit test-host test-boot coverage check
AFTER_SETUP := run $(TESTING)
GOALS := $(or $(MAKECMDGOALS),all)

ifneq ($(filter-out $(WITHOUT_SETTINGS),$(GOALS)),)
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
else ifneq ($(filter-out $(WITHOUT_SETTINGS) $(AFTER_SETUP) bench,$(GOALS)),)
$(error python3 is not installed; run 'make setup')
endif
endif

# ---- help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Settings are in environment.config; for one command: make CONFIGURATION=debug'

# ---- set-up

.PHONY: setup setup-run limits
setup: ## Install what is missing for the build, all tests and checks
setup: limits
	@.ci/setup/packages.sh packages packages-tests
	$(AGAIN) EXTRA=dev setup-steps setup-test-steps

setup-run: ## Install only what `make run` and `make -j` need (ENGINE=bochs: Bochs too)
setup-run: limits
	@.ci/setup/packages.sh
	$(AGAIN) setup-steps $(if $(filter bochs,$(ENGINE)),setup-bochs)

# What make is about to do that not every machine can.
limits:
	@.ci/setup/limits.sh $(if $(filter test-boot,$(GOALS))$(and $(filter test,$(GOALS)),$(BOOT_TESTS)),boot) \
	    $(if $(filter run,$(GOALS)),$(filter bochs,$(ENGINE)))

.PHONY: setup-steps setup-test-steps setup-venv setup-edk2 setup-guest setup-bochs setup-usb-guest setup-kernels
setup-steps: setup-venv setup-edk2 setup-guest
setup-test-steps: setup-bochs setup-usb-guest setup-kernels

setup-venv:
	@.ci/setup/venv.sh $(EXTRA)

setup-bochs: setup-venv
	@$(ZPP_IMAGE) bochs install | sed -u 's/^/setup: /'

setup-edk2:
	@EDK2_ROOT='$(EDK2_ROOT)' python3 uefi/edk2.py --cache $(CACHE) | sed -u 's/^/setup: /'

setup-guest:
	@python3 tests/guest/linux/build.py fetch --cache $(CACHE)/linux-guest
	@echo "setup: the Linux guest is ready ($$(head -n 1 $(CACHE)/linux-guest/packages))"

setup-usb-guest: setup-guest
	@python3 tests/guest/usb/usb_build.py fetch --cache $(CACHE)/usb-guest

setup-kernels:
	@python3 tests/guest/linux/kernels.py fetch --cache $(CACHE)
	@echo "setup: kernels for the tests of the Linux module are ready"

.PHONY: ready
ready:
	@[ -x $(TOOLCHAIN)/clang ] && [ -x $(PYTHON) ] && [ -n '$(EDK2_ROOT)' -o -d $(CACHE)/edk2 ] || \
	    { echo "make: something is not installed; run 'make setup'" >&2; exit 1; }

# ---- build

# The variables that each folder's Makefile takes.
IN = CONFIGURATION=$(CONFIGURATION) TOOLCHAIN=$(TOOLCHAIN) OUT=$(CURDIR)/$(OUT)
WAIT = HYPERVISOR_WAIT_FOR_DEBUGGER=$(HYPERVISOR_WAIT_FOR_DEBUGGER)
IN_UEFI = $(IN) $(WAIT) SERIAL_PORT=$(SERIAL_PORT) EDK2_ROOT=$(or $(EDK2_ROOT),$(CURDIR)/$(CACHE)/edk2)
IN_LINUX = $(IN) $(WAIT) LINUX_KERNEL='$(LINUX_KERNEL)'
IN_WINDOWS = $(IN) $(WAIT) SERIAL_PORT=$(SERIAL_PORT) VISUAL_STUDIO_ROOT='$(VISUAL_STUDIO_ROOT)' \
    WINDOWS_KITS_ROOT='$(WINDOWS_KITS_ROOT)' WINDOWS_KITS_VERSION='$(WINDOWS_KITS_VERSION)'

.PHONY: all core environment linux uefi windows
all: ## Build the core and the drivers into out/ (the default; use -j)
all: core environment $(BUILD_DRIVERS)

core: ready
	@$(MAKE) -C hypervisor $(IN)
	@python3 .ci/compile_commands.py $(TOOLCHAIN) $(OUT)/hypervisor

environment: ## Write out/environment/, the files for debuggers
	@python3 -m efi_image.debug.scripts -- $(OVERRIDES)

linux: core
	@$(MAKE) -C linux $(IN_LINUX)

uefi: core
	@$(MAKE) -C uefi $(IN_UEFI)

windows: core
	@$(MAKE) -C windows $(IN_WINDOWS)

# ---- build for the tests

.PHONY: windows-tests host-programs efi-guest waiting-guest unoptimized-guest linux-guest usb-guest linux-loader
# The Windows driver, linked for Wine.
windows-tests: windows
	@$(MAKE) -C windows $(IN_WINDOWS) tests

# The core's and the loaders' logic as programs of the build machine.
host-programs: core
	@$(MAKE) -C tests/host $(IN) programs

.PHONY: reference
reference: ## Write docs/reference/cpu-features.md from the core's tables
	@$(MAKE) -C tests/host $(IN) write-reference

efi-guest: uefi
	@$(MAKE) -C uefi $(IN_UEFI) tests

# The same core in a driver that makes it wait for a debugger.
waiting-guest: uefi
	@$(MAKE) -C uefi $(IN_UEFI) OUT=$(CURDIR)/$(OUT)/waiting \
	    HYPERVISOR_ELF=$(CURDIR)/$(OUT)/hypervisor.elf HYPERVISOR_WAIT_FOR_DEBUGGER=1

# A debug build of the core: its slow exit handlers must not lose a SIPI.
unoptimized-guest: uefi
	@$(MAKE) -C hypervisor $(IN) CONFIGURATION=debug OUT=$(CURDIR)/$(OUT)/unoptimized
	@$(MAKE) -C uefi $(IN_UEFI) OUT=$(CURDIR)/$(OUT)/unoptimized

linux-guest: ready $(OUT)/linux-guest/initrd.img
usb-guest: ready $(OUT)/usb-guest/initrd.img

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

# Guests that load zpp.ko, with the oldest and the newest kernel. A second make, because the first
# looked at hypervisor.elf before it was built.
LOADER_GUESTS := oldest newest
.PHONY: $(LOADER_GUESTS:%=linux-loader-%)
linux-loader: $(LOADER_GUESTS:%=linux-loader-%)
$(LOADER_GUESTS:%=linux-loader-%): linux-loader-%: core
	@$(MAKE) -s $(OUT)/linux-loader/$*/initrd.img

LOADER_SOURCES := $(wildcard linux/* hypervisor/loader/* hypervisor/include/zpp/*) $(GUEST_SOURCES)
$(OUT)/linux-loader/%/initrd.img: $(LOADER_SOURCES) $(OUT)/hypervisor.elf
	@python3 tests/guest/linux/kernels.py guest $* --cache $(CACHE) --out $(OUT) --toolchain $(TOOLCHAIN)

# Not part of `make test`: 16 boots, and as many for each kernel that is added.
KERNELS :=
.PHONY: kernel-boots
kernel-boots: ## Boot the newest kernel of each of Debian's suites with zpp (or KERNELS='6.18 sid')
kernel-boots: all linux-guest linux-loader
	@kernels='$(or $(KERNELS),$(shell python3 tests/guest/linux/kernels.py list))'; \
	    python3 tests/guest/linux/kernels.py fetch $$kernels --cache $(CACHE) && \
	    python3 tests/guest/linux/kernels.py guest $$kernels --cache $(CACHE) --out $(OUT) \
	        --toolchain $(TOOLCHAIN) && \
	    ZPP_KERNELS="$$kernels" $(PYTEST) tests/boot/test_kernels.py

SUITES :=
.PHONY: kernels
kernels: ## Build the Linux module for every kernel of Debian's suites (or of SUITES=sid)
kernels: core
	@python3 tests/guest/linux/kernels.py matrix $(SUITES) --cache $(CACHE) --out $(OUT)

# ---- images

.PHONY: image guest-image
image: ## Make esp.img, a bootable image with the hypervisor
image: all
	@$(ZPP_IMAGE) make $(OUT)/esp.img

# no_timer_check: QEMU's clock runs on while the machine is busy, and Linux calls its timer broken.
GUEST_CMDLINE := console=ttyS0,115200 quiet cryptomgr.notests no_timer_check
guest-image: all linux-guest
	@$(ZPP_IMAGE) make $(OUT)/linux-guest/esp.img --kernel $(OUT)/linux-guest/vmlinuz \
	    --initrd $(OUT)/linux-guest/initrd.img --cmdline '$(GUEST_CMDLINE)'

# ---- run and test

.PHONY: $(AFTER_SETUP) $(AFTER_SETUP:%=%-now)
run: ## Set up, build, and boot a small Linux on the hypervisor (ENGINE=bochs shows VT-x)
test: ## Set up, build, and run all tests (or TESTS=tests/unit/test_gpt_writer.py)
test-unit: ## Run the unit tests but the slow ones; takes less than a minute
test-host: ## Run the tests of the core's logic on this machine, with sanitizers
test-boot: ## Run the tests that boot Bochs and QEMU
coverage: ## Show the lines that tests run, with HTML in out/coverage/ (MARKERS=unit: slow tests too)
check: ## Check formats, types, headers, spelling and wording
run: setup-run
$(TESTING): setup
$(AFTER_SETUP):
	$(AGAIN) $(if $(filter check,$@),--keep-going --output-sync) $@-now

ENGINE :=
ifneq ($(filter-out auto qemu bochs,$(ENGINE)),)
$(error ENGINE must be auto, qemu or bochs, not '$(ENGINE)')
endif
run-now: guest-image
	@$(PYTHON) tests/boot/demo.py $(OUT)/linux-guest/esp.img $(ENGINE)

TESTS := tests/unit tests/host tests/boot
BOOT_TESTS = $(filter-out tests/unit% tests/host%,$(TESTS))
PYTEST = $(PYTHON) -m pytest -n $(shell nproc) --dist worksteal
pytest = mkdir -p $(LOGS); [ -t 1 ] && color=yes || color=no; \
    $(PYTEST) --color=$$color $(1) | tee $(LOGS)/pytest.log

.PHONY: for-unit for-boot
for-unit: all linux-guest usb-guest $(if $(filter windows,$(BUILD_DRIVERS)),windows-tests)
for-boot: all linux-guest usb-guest linux-loader efi-guest waiting-guest unoptimized-guest

test-now: for-unit $(if $(BOOT_TESTS),for-boot) host-programs
	@$(call pytest,$(TESTS))

test-unit-now:
	@$(call pytest,tests/unit -m 'not slow')

test-host-now: host-programs
	@$(call pytest,tests/host)

test-boot-now: for-boot
	@$(call pytest,tests/boot)

MARKERS := unit and not slow
coverage-now: core
	@$(PYTHON) .ci/measure_coverage.py $(TOOLCHAIN) out/coverage '$(MARKERS)'

FUZZ_SECONDS := 60
.PHONY: fuzz
fuzz: ## Fuzz the parsers of foreign data, each for FUZZ_SECONDS=60
fuzz: EXTRA = dev
fuzz: setup-venv
	@mkdir -p out/fuzz
	@for target in $$($(PYTHON) tests/fuzz/fuzz.py --list); do \
	    echo "fuzz: $$target"; mkdir -p out/fuzz/$$target; \
	    $(PYTHON) tests/fuzz/fuzz.py $$target out/fuzz/$$target -artifact_prefix=out/fuzz/ \
	        -max_total_time=$(FUZZ_SECONDS) -verbosity=0; \
	done

# Nothing but the JSON goes to standard output.
ONLY :=
ifneq ($(filter-out image write,$(ONLY)),)
$(error ONLY must be image or write, not '$(ONLY)')
endif
.PHONY: bench bench-build bench-now
bench: ## Measure, and print JSON (or only ONLY=image, ONLY=write)
	+@$(MAKE) setup >&2
	@.ci/setup/packages.sh packages-bench >&2
	$(AGAIN) bench-build >&2
	+@$(MAKE) bench-now

bench-build: all linux-guest

bench-now:
	@PYTHONPATH=tests/boot:tests/bench $(PYTHON) tests/bench/bench.py $(OUT) $(or $(EDK2_ROOT),$(CACHE)/edk2) \
	    $(TOOLCHAIN) $(if $(ONLY),--only $(ONLY))

# ---- check

# uefi/ and tests/guest/ZppTestPkg follow EDK2's style.
C_FILES = $(shell git ls-files $(foreach folder,examples hypervisor linux ovmf/bochs tests/bench \
    tests/guest/linux tests/host windows tests/windows,'$(folder)/*.[ch]' '$(folder)/*.[ch]pp'))
SHELL_FILES = $(shell git grep -lE '^.!/bin/(ba)?sh' -- . ':!*.py' ':!*.in')
CHECKS := check-format check-headers check-tidy check-python check-spelling check-wording check-shell check-names \
    check-docs

check-now: $(CHECKS)

.PHONY: format
format: ## Format the C, C++ and Python sources
	@$(TOOLCHAIN)/clang-format -i $(C_FILES)
	@.venv/bin/ruff format --quiet .

.PHONY: $(CHECKS)
check-format:
	@echo "check: clang-format"
	@$(TOOLCHAIN)/clang-format --dry-run --Werror $(C_FILES)

check-headers: core
	@echo "check: each header compiles alone"
	@$(PYTHON) .ci/check/c_sources.py headers $(TOOLCHAIN)

check-tidy: core
	@echo "check: clang-tidy"
	@$(PYTHON) .ci/check/c_sources.py tidy $(TOOLCHAIN)

# Folders are checked one by one where two of them have a module of the same name.
check-python:
	@echo "check: ruff, mypy"
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy --no-error-summary
	@MYPYPATH=tests/boot:tests/shared:tests/unit:tests/bench:tests/docs:tests/guest/linux:tests/guest/usb .venv/bin/mypy --no-error-summary tests/boot/*.py \
	    tests/bench/*.py tests/host/*.py tests/host/reference/*.py .ci/*.py .ci/check/*.py
	@MYPYPATH=tests/guest/linux .venv/bin/mypy --no-error-summary tests/conftest.py \
	    tests/guest/linux/*.py tests/guest/usb/usb_build.py
	@MYPYPATH=.ci/docs:docs/pictures .venv/bin/mypy --no-error-summary .ci/docs/*.py docs/pictures/*.py
	@MYPYPATH=tests/guest/usb .venv/bin/mypy --no-error-summary tests/guest/usb/write_sticks.py

check-spelling:
	@echo "check: codespell"
	@git ls-files -z | xargs -0 codespell --config .ci/check/codespell.ini

check-wording:
	@echo "check: the word list of CONTRIBUTING.md"
	@$(PYTHON) .ci/check/wording.py

check-shell:
	@echo "check: shellcheck"
	@shellcheck $(SHELL_FILES)

# A broken link or anchor, or a page that docs/README.md does not name, is an error.
check-docs:
	@echo "check: the site of the documentation"
	@$(SITE)

check-names:
	@echo "check: no names of hosts or of this machine's folders"
	@.ci/check/names.sh

# ---- documentation

SITE = PYTHONPATH=. $(PYTHON) .ci/docs/build_site.py out/docs
.PHONY: docs
docs: ## Build the documentation as a site in out/docs/
docs: EXTRA = dev
docs: setup-venv
	@$(SITE)
	@echo out/docs/index.html

# ---- packages and cleaning

VERSION = $(shell $(PYTHON) -c 'import efi_image; print(efi_image.__version__)')
DATED = SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}
.PHONY: man dist deb clean distclean
man: ## Make the man pages of zpp-image in out/man/
man: EXTRA = dev
man: setup-venv
	@rm -rf out/man
	@PYTHONPATH=. $(PYTHON) .ci/man_pages.py out/man $$(git log -1 --format=%cs)

dist: ## Make a wheel with the built programs, an sdist, a source tarball and the man pages in out/dist/
dist: core uefi man
	@mkdir -p out/dist
	@rm -f out/dist/*.*
	@$(DATED) $(PYTHON) .ci/dist/wheel.py $(OUT) $(or $(EDK2_ROOT),$(CACHE)/edk2) out/man out/dist
	@git archive --format=tar --prefix="zpp-$(VERSION)/" HEAD | gzip -n9 >"out/dist/zpp-$(VERSION).tar.gz"
	@tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$$(git log -1 --format=%ct) \
	    -C out/man . | gzip -n9 >"out/dist/zpp-image-$(VERSION)-man.tar.gz"
	@ls -d out/dist/*.*

deb: ## Make a Debian package for this version of Debian in out/dist/
deb: dist
	@$(DATED) $(PYTHON) .ci/dist/deb.py out/dist/zpp_image-$(VERSION)-py3-none-any.whl out/dist

clean: ## Remove all build results; downloads stay
	@rm -rf out compile_commands.json

distclean: ## Remove downloads and .venv too (Bochs: zpp-image bochs remove)
distclean: clean
	@rm -rf $(CACHE) .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
