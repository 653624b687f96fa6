/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal's modes. The mode to go back to is kept in a static variable:
 * a signal handler and atexit() can reach nothing else.
 */
#include "cli/terminal.h"

#include "base/file.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct {
	volatile sig_atomic_t fd; /* -1: nothing to restore */
	struct termios before, raw;
} terminal = { .fd = -1 };

bool terminal_get_size(int fd, struct terminal_size *ret_size)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		return false;
	*ret_size = (struct terminal_size){ .rows = size.ws_row, .columns = size.ws_col };
	return true;
}

/* tcsetattr() from the background stops the process unless SIGTTOU is blocked. */
static void set_mode(int fd, const struct termios *mode)
{
	sigset_t block, before;

	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &block, &before);
	/* Not TCSADRAIN, which waits for ever on a terminal stopped by Ctrl-S. */
	(void)tcsetattr(fd, TCSANOW, mode);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
}

void terminal_restore(void)
{
	int fd = terminal.fd;

	if (fd < 0)
		return;
	terminal.fd = -1;
	set_mode(fd, &terminal.before);
}

void terminal_raw_again(void)
{
	if (terminal.fd >= 0)
		set_mode(terminal.fd, &terminal.raw);
}

/* SA_RESETHAND is on: the signal's return raises it again with its default action. */
static void restore_and_crash(int number)
{
	terminal_restore();
	(void)raise(number);
}

int terminal_raw(int fd, bool keep_signals, struct cay_error *err)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	const struct sigaction action = { .sa_handler = restore_and_crash,
					  .sa_flags = (int)SA_RESETHAND };
	static bool registered;

	if (terminal.fd < 0 && tcgetattr(fd, &terminal.before) < 0)
		return cay_error_errno(err, errno, "reading the terminal's mode");
	terminal.raw = terminal.before;
	cfmakeraw(&terminal.raw);
	if (keep_signals)
		terminal.raw.c_lflag |= ISIG;
	if (!registered)
		(void)atexit(terminal_restore);
	registered = true;
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		(void)sigaction(crashes[i], &action, NULL);
	terminal.fd = fd;
	set_mode(fd, &terminal.raw);
	return 0;
}

/* What a person could type; a line beyond it is cut off by the terminal's driver long before. */
enum { SECRET_MAX = 64 * 1024 };

static int read_line(int fd, struct buf *line, struct cay_error *err)
{
	char c;
	ssize_t n;

	while ((n = read(fd, &c, 1)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cay_error_errno(err, errno, "reading from the terminal");
		if (c == '\n')
			return 0;
		if (line->length < SECRET_MAX)
			buf_putc(line, c);
	}
	if (line->length == 0)
		return cay_error_set(err, CAY_CANCELLED, ECANCELED, "nothing was typed");
	return 0;
}

int terminal_read_secret(int fd, const char *prompt, struct buf *ret_line, struct cay_error *err)
{
	static const int endings[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction action = { .sa_handler = restore_and_crash,
					  .sa_flags = (int)SA_RESETHAND };
	struct sigaction before[ARRAY_SIZE(endings)];
	struct termios quiet;
	int r;

	if (tcgetattr(fd, &terminal.before) < 0)
		return cay_error_errno(err, errno, "reading the terminal's mode");
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		(void)sigaction(endings[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			(void)sigaction(endings[i], &action, NULL);
	}
	quiet = terminal.before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_lflag |= ECHONL;
	terminal.fd = fd;
	set_mode(fd, &quiet);
	(void)write_full(STDERR_FILENO, prompt, strlen(prompt)); /* a prompt that can't be seen */
	r = read_line(fd, ret_line, err);
	terminal_restore();
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		(void)sigaction(endings[i], &before[i], NULL);
	return r;
}

/* One key: a character, or "ctrl-" and a letter or one of @ [ \ ] ^ _ as the ASCII table has it. */
static int parse_key(struct str text, unsigned char *ret_key)
{
	unsigned char c;

	if (text.length == 1) {
		*ret_key = (unsigned char)text.data[0];
		return 0;
	}
	if (text.length != 6 || !str_starts(text, "ctrl-"))
		return -EINVAL;
	c = (unsigned char)text.data[5];
	if (c >= 'a' && c <= 'z')
		c = (unsigned char)(c - 'a' + 'A');
	if (c < '@' || c > '_')
		return -EINVAL;
	*ret_key = c - '@';
	return 0;
}

int detach_keys_parse(const char *text, struct detach_keys *ret_keys, struct cay_error *err)
{
	struct str rest = str_from(text && *text ? text : "ctrl-p,ctrl-q");
	struct detach_keys keys = { 0 };

	while (rest.length > 0) {
		struct str key = str_split(rest, ',', &rest);

		if (keys.count == DETACH_KEYS_MAX || parse_key(key, &keys.keys[keys.count++]) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--detach-keys: \"%s\" is not a list of keys such as "
					     "ctrl-p,ctrl-q",
					     text);
	}
	*ret_keys = keys;
	return 0;
}

/*
 * The longest beginning of the sequence that the bytes so far end with is kept up to date as in
 * Knuth, Morris and Pratt, by trying each shorter one: sequences are short.
 */
static size_t next_match(const struct detach_keys *keys, unsigned char byte)
{
	for (size_t length = keys->matched + 1; length > 0; length--) {
		size_t kept = length - 1; /* of the bytes matched before this one */

		if (keys->keys[kept] == byte &&
		    memcmp(keys->keys, keys->keys + keys->matched - kept, kept) == 0)
			return length;
	}
	return 0;
}

bool detach_keys_filter(struct detach_keys *keys, const void *data, size_t size, struct buf *out)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++) {
		size_t matched = next_match(keys, bytes[i]);
		/* All that was held back and no longer begins the sequence goes on. */
		size_t release = keys->matched + 1 - matched;

		buf_append(out, keys->keys, MIN(release, keys->matched));
		if (release > keys->matched)
			buf_append(out, &bytes[i], 1);
		keys->matched = matched;
		if (matched == keys->count)
			return true;
	}
	return false;
}
