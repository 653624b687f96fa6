/* SPDX-License-Identifier: Apache-2.0 */
/* cay, the command line: a client of the daemon's API and of nothing else. */
#include "cli/command.h"

int main(int argc, char **argv)
{
	return cay_main(argc, argv);
}
