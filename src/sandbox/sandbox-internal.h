/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a sandbox share: sandbox.c has its life, listen.c hears
 * what the machine says beside the channel's calls (console, kernel log, QMP),
 * network.c tells the guest about its network, refresh.c what time it is,
 * shares.c has the server of the host's files, shed.c gives memory back;
 * machine.c describes the machine, which freeze.c makes a template of, and
 * restore.c a template into; translations.c opens what QEMU need not translate;
 * claim.c gives the sandbox to another owner.
 */
#pragma once

#include "sandbox/boot-log.h"
#include "sandbox/nics.h"
#include "sandbox/sandbox.h"
#include "vmm/qmp.h"
#include "vmm/template.h"
#include "vmm/vm.h"

#include "rpc/session.h"

#include "vminitd.pb-c.h"

enum state { BOOTING, READY, ENDING, GONE };

enum { KERNEL_NAME_MAX = 128 };

/* What QEMU is started with where its memory is a template's (vmm/preload/). */
#define SANDBOX_QEMU_LIBRARY "libcay-qemu.so"

struct freeze;
struct shares;

struct sandbox {
	uv_loop_t *loop;
	const struct sandbox_config *config;
	struct sandbox_events events;
	void *user;
	enum state state;
	struct vm vm;
	struct nics nics;
	uint8_t card_macs[VMM_NICS_MAX][SANDBOX_MAC_SIZE]; /* what the guest knows the cards by */
	struct shares *shares;                             /* NULL: none */
	unsigned int awaited;                              /* what on_ready still waits for */
	struct boot_log boot_log;
	struct rpc_conn *conn;
	struct qmp
		*qmp; /* from READY on; of what comes from or becomes a template from the start */
	char session_line[SESSION_LINE_LENGTH];
	struct buf opening;     /* what came before the session's line */
	unsigned int farewells; /* calls before the orderly end not yet answered */
	bool kernel_log_asked, kernel_log_awaited;
	char kernel[KERNEL_NAME_MAX];
	struct template template; /* until QEMU has its copies of the descriptors */
	bool restoring;           /* from a template, and the guest has not answered yet */
	bool cloned;              /* it has */
	char template_error[CAY_ERROR_MESSAGE_MAX];
	struct freeze *freeze; /* of what becomes a template */
	struct cay_error why;
	bool killed; /* by us */

	uv_poll_t channel, exit, console, output;
	struct {
		int64_t sent_us;
		unsigned int repeats;
	} time;               /* as the guest was told it last */
	uv_timer_t timer;     /* of the state: boot, last words, sync */
	uv_timer_t log_timer; /* until the kernel's log is asked for */
	struct shed {
		uv_timer_t timer;
		int64_t seen_us, done_us; /* QEMU's processor time then */
		unsigned int quiet;       /* looks in a row */
	} shed;
	unsigned int open_handles;
};

/* ---- sandbox.c ---- */

/* Kills QEMU; its end is heard of by the pidfd. */
void sandbox_kill_vm(struct sandbox *sandbox);
/* One of open_handles has closed; the last one to do so tells that the sandbox is gone. */
void sandbox_release_handle(struct sandbox *sandbox);
/* One of farewells was answered, or won't be; after the last one the VM is killed. */
void sandbox_farewell_done(struct sandbox *sandbox);

/* One of awaited has come; the last one is on_ready. */
void sandbox_part_ready(struct sandbox *sandbox);
/* Watches a descriptor of the sandbox for reading, as one of open_handles. */
void sandbox_watch(struct sandbox *sandbox, uv_poll_t *poll, int fd, uv_poll_cb callback);
void sandbox_close_handle(void *handle);

/* False for a call that all depends on and that has failed, which ends the sandbox then. */
bool sandbox_is_answered(struct sandbox *sandbox, const struct cay_error *err);

/* ---- refresh.c ---- */

/* Time and random numbers, which a guest gets when it is there, and when it changes its owner. */
void sandbox_refresh_guest(struct sandbox *sandbox);

/* ---- listen.c ---- */

/* The callback of both descriptors that carry text, and what reads their rest at the end. */
void sandbox_on_text(uv_poll_t *poll, int status, int events);
void sandbox_drain_text(struct sandbox *sandbox);
/* From READY on: the kernel's log in a while, QMP at once. */
void sandbox_listen(struct sandbox *sandbox);
/* QMP alone, if it is not open yet. */
void sandbox_open_qmp(struct sandbox *sandbox);
/* The kernel's log, in a while and from its beginning. */
void sandbox_follow_kernel_log(struct sandbox *sandbox);
/* At the end: adds the kernel's log, if nobody has asked for it yet, to the farewells. */
void sandbox_fetch_kernel_log(struct sandbox *sandbox);

/* ---- network.c ---- */

/* The guest knows each card by the configuration's address. */
void sandbox_know_cards(struct sandbox *sandbox);
/* Part of the greeting; where there is a lease to wait for, it is awaited. */
void sandbox_configure_network(struct sandbox *sandbox);
/* At the end: adds giving back the leases to the farewells; false where there are none. */
bool sandbox_release_leases(struct sandbox *sandbox);
void sandbox_on_lease(struct sandbox *sandbox, const Cay__Vminitd__V1__LeaseEvent *event);

/* ---- shares.c ---- */

/* cay-files' arguments, its name first. */
void sandbox_files_arguments(const struct sandbox_config *config, struct strv *argv);
/*
 * Starts cay-files where there are shares; *ret_socket is then what QEMU is to give the shares'
 * device. sandbox_close_shares() follows, also after a failure.
 */
int sandbox_open_shares(struct sandbox *sandbox, const struct sandbox_config *config,
			int *ret_socket, struct cay_error *err);
/* Once QEMU runs. */
void sandbox_watch_shares(struct sandbox *sandbox);
void sandbox_unwatch_shares(struct sandbox *sandbox);
/*
 * QEMU has ended. Whether that is because cay-files could not begin: it is then why the sandbox has
 * failed, and QEMU has only missed its server.
 */
bool sandbox_shares_failed(struct sandbox *sandbox);
/* Ends cay-files; once its handles are closed. */
void sandbox_close_shares(struct sandbox *sandbox);

/* ---- shed.c ---- */

/* A container's process runs: from now on QEMU gives memory back whenever the guest is idle. */
void sandbox_begin_shedding(struct sandbox *sandbox);

/* ---- machine.c ---- */

/* The machine, but for what must be opened. It points into `config` and *extents, to be freed. */
struct vm_machine sandbox_describe(const struct sandbox_config *config, struct vm_extent **extents);

/* ---- translations.c ---- */

/*
 * Opens the files of translations that the configuration names, for the machine;
 * sandbox_close_translations() follows, also after a failure. A finished one that is of no use is
 * told of, and not used; a recording must come about.
 */
int sandbox_open_translations(const struct sandbox_config *config, struct vm_machine *machine,
			      struct cay_error *err);
void sandbox_close_translations(struct vm_machine *machine);

/* ---- restore.c ---- */

/*
 * Where there is a template to use, adds it to the machine and sets `restoring`. One that is of no
 * use is told of, and nothing else happens.
 */
void sandbox_use_template(struct sandbox *sandbox, struct vm_machine *machine);
/* Once QEMU runs: has it take up the template's state. */
void sandbox_restore(struct sandbox *sandbox);
/* It could not be cloned, and boots instead. */
void sandbox_give_up_template(struct sandbox *sandbox, const struct cay_error *why);
/* The arguments of "migrate-set-capabilities" that turn these on. */
json_t *sandbox_migration_capabilities(const char *const *names, size_t count);

/* ---- freeze.c ---- */

/* The address that a template's card has. */
void sandbox_frozen_mac(size_t index, uint8_t ret_mac[SANDBOX_MAC_SIZE]);
/* For what becomes a template: makes its files and adds them to the machine. */
int sandbox_prepare_freeze(struct sandbox *sandbox, struct vm_machine *machine,
			   struct cay_error *err);
/* The guest is ready to be frozen. */
void sandbox_freeze(struct sandbox *sandbox);
/* QEMU tells how that goes on. */
void sandbox_on_migration(struct sandbox *sandbox, const char *status);
/* QEMU has gone: completes the template, or leaves one that is none. May set `why`. */
void sandbox_finish_freeze(struct sandbox *sandbox);
void sandbox_free_freeze(struct freeze *freeze);
