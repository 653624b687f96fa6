/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cay-warm: what a VM runs while it waits for its container. An emulated
 * machine is slow at whatever it does for the first time, as QEMU translates
 * the code then; so this program asks of the guest's kernel what programs and
 * their dynamic linkers ask of it when they start. It runs in a container like
 * any other, writes one line, and its end is the only thing looked at: what
 * fails here has been translated all the same.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 64, PASSES = 3, CHILD_STATUS = 7 };

static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
	(void)number;
	signals_seen++;
}

/* As a dynamic linker does it: private pages of a file, some of them written. */
static void map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text, header[512];
	struct stat st;

	if (fd < 0)
		return;
	if (read(fd, header, sizeof(header)) > 0 && fstat(fd, &st) == 0 && st.st_size > PAGE) {
		text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (text != MAP_FAILED) {
			volatile char sum = 0;

			for (off_t at = 0; at < st.st_size; at += PAGE)
				sum = (char)(sum + text[at]);
			if (mprotect(text, PAGE, PROT_READ | PROT_WRITE) == 0)
				text[0] = sum;
			(void)munmap(text, (size_t)st.st_size);
		}
	}
	(void)!pread(fd, header, sizeof(header), 64);
	(void)lseek(fd, 0, SEEK_END);
	(void)close(fd);
}

static void use_memory(void)
{
	char *pages = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *heap = malloc((size_t)PAGES * PAGE);

	if (pages != MAP_FAILED) {
		for (int i = 0; i < PAGES; i++)
			pages[i * PAGE] = 1;
		(void)madvise(pages, (size_t)PAGES * PAGE, MADV_DONTNEED);
		(void)munmap(pages, (size_t)PAGES * PAGE);
	}
	if (heap)
		memset(heap, 1, (size_t)PAGES * PAGE);
	free(heap);
}

static void look_around(void)
{
	static const char *const paths[] = { "/",         "/dev",       "/proc", "/proc/self/fd",
					     "/etc/none", "/usr/lib64", "/tmp" };
	static const char *const files[] = { "/etc/hosts",        "/etc/resolv.conf",
					     "/etc/ld.so.cache",  "/proc/self/status",
					     "/proc/self/cgroup", "/proc/self/mountinfo",
					     "/proc/meminfo",     "/dev/null" };
	char text[PAGE];
	struct utsname names;
	struct statfs fs;
	struct stat st;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		DIR *directory = opendir(paths[i]);

		while (directory && readdir(directory))
			;
		if (directory)
			(void)closedir(directory);
		(void)lstat(paths[i], &st);
		(void)access(paths[i], R_OK | X_OK);
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd = open(files[i], O_RDONLY | O_CLOEXEC);

		if (fd >= 0) {
			while (read(fd, text, sizeof(text)) > 0)
				;
			(void)close(fd);
		}
	}
	(void)!readlink("/proc/self/exe", text, sizeof(text));
	(void)!getcwd(text, sizeof(text));
	(void)uname(&names);
	(void)statfs("/", &fs);
}

/* Through the overlay into the scratch: a file made, written, read, renamed and removed. */
static void use_disk(void)
{
	static char block[2 * PAGE];
	int fd;

	(void)mkdir("/warm", 0755);
	fd = open("/warm/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		(void)!write(fd, block, sizeof(block));
		(void)!pread(fd, block, sizeof(block), 0);
		(void)fchmod(fd, 0600);
		(void)!ftruncate(fd, 100);
		(void)fsync(fd);
		(void)close(fd);
	}
	(void)rename("/warm/file", "/warm/other");
	(void)!symlink("other", "/warm/link");
	(void)unlink("/warm/link");
	(void)unlink("/warm/other");
	(void)rmdir("/warm");
}

static void wait_for(pid_t pid)
{
	int status;

	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		;
}

/* A child by fork that writes to a pipe, and this program once more by exec. */
static void make_processes(char *self)
{
	char *const argv[] = { self, (char *)"child", NULL };
	char *const environment[] = { NULL };
	int fds[2] = { -1, -1 };
	char text[16];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == 0) {
		pid = fork();
		if (pid == 0) {
			(void)setpgid(0, 0);
			(void)!write(fds[1], "warm", 4);
			_exit(CHILD_STATUS);
		}
		(void)!read(fds[0], text, sizeof(text));
		wait_for(pid);
		(void)close(fds[0]);
		(void)close(fds[1]);
	}
	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environment) == 0)
		wait_for(pid);
}

static void use_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const struct timespec moment = { .tv_nsec = 1000 };
	struct rlimit limit;
	struct timespec now;
	sigset_t set;

	(void)sigaction(SIGUSR1, &action, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)kill(getpid(), SIGUSR1);
	(void)nanosleep(&moment, NULL);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
}

/* Bytes from one end to the other of a pair of sockets, the second one waited for. */
static void pass_bytes(int from, int to)
{
	struct pollfd readable = { .fd = to, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN };
	char text[16];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	(void)!write(from, "warm", 4);
	(void)poll(&readable, 1, 100);
	if (epoll >= 0) {
		(void)epoll_ctl(epoll, EPOLL_CTL_ADD, to, &event);
		(void)epoll_wait(epoll, &event, 1, 100);
		(void)close(epoll);
	}
	(void)!read(to, text, sizeof(text));
}

/* TCP and UDP over the loopback, if it is up. */
static void use_network(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "eth0" };
	int pair[2], server;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(listener, 1) == 0 &&
	    getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
	    connect(client, (struct sockaddr *)&address, size) == 0) {
		server = accept(listener, NULL, NULL);
		if (server >= 0) {
			pass_bytes(client, server);
			(void)close(server);
		}
		if (bind(datagrams, (struct sockaddr *)&address, size) == 0 &&
		    connect(datagrams, (struct sockaddr *)&address, size) == 0)
			pass_bytes(datagrams, datagrams);
	}
	(void)ioctl(datagrams, SIOCGIFADDR, &request);
	(void)close(datagrams);
	(void)close(client);
	(void)close(listener);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		pass_bytes(pair[0], pair[1]);
		(void)close(pair[0]);
		(void)close(pair[1]);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return 0; /* the child that make_processes() executes */
	for (int i = 0; i < PASSES; i++) {
		map_file("/proc/self/exe");
		use_memory();
		look_around();
		use_disk();
		make_processes(argv[0]);
		use_signals();
		use_network();
	}
	(void)fprintf(stderr, "warm\n");
	return puts("warm") < 0;
}
