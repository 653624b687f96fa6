/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords, tokens and what they are carried in. */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

void secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void secret_buf_done(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->length);
	buf_done(buf);
}
