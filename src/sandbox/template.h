/* SPDX-License-Identifier: Apache-2.0 */
/* What a template that a sandbox could be cloned from, and translations for it, depend on. */
#pragma once

#include "sandbox/config.h"

/* Whether a template is of use to a sandbox like this one; one with shares boots. */
bool sandbox_may_be_cloned(const struct sandbox_config *config);

/*
 * template_shape() of the machine that this configuration describes: those of sandboxes that could
 * be clones of one template are equal, whatever they are for. The caller frees.
 */
int sandbox_shape(const struct sandbox_config *config, char **ret_text, struct cay_error *err);

/* translations_shape() of it: the same for machines of all sizes. The caller frees. */
char *sandbox_translations_shape(const struct sandbox_config *config);
