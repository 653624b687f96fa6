/* SPDX-License-Identifier: Apache-2.0 */
/* A shim whose sandbox becomes a template: no socket, no containers, one result. */
#include "shim/shim.h"

static void on_gone(struct sandbox *sandbox, const struct cay_error *why, void *user)
{
	*(struct cay_error *)user = *why;
	sandbox_free(sandbox);
}

int shim_make_template(const struct sandbox_config *config, struct cay_error *err)
{
	static const struct sandbox_events events = { .on_gone = on_gone };
	uv_loop_t *loop = uv_default_loop();
	struct sandbox *sandbox = NULL;
	int r = sandbox_boot(loop, config, &events, err, &sandbox, err);

	if (r < 0)
		return r;
	(void)uv_run(loop, UV_RUN_DEFAULT); /* until the sandbox has closed its handles */
	return err->code == CAY_OK ? 0 : -err->err;
}
