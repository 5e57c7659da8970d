/*
 * tests/support/test-agent.c - the agent is the built program, started as a user would. Replies are looked at as text: what
 * parses them in earnest is under test and would judge itself.
 */
#include "tests/support/test-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"

#define START_PATIENCE_MS 60000

static const char default_policy[] = "[Access]\nUser=*\nScope=acme/**:*\n";

static int write_file(const char *dir, const char *name, const char *head, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fprintf(f, "%s%s\n", head, text);
	return fclose(f) == 0 ? 0 : -errno;
}

static const char *program_of(const struct test_agent_options *options)
{
	static char path[256];
	const char *build = getenv("JETON_BUILD");

	if (options->program)
		return options->program;
	snprintf(path, sizeof(path), "%s/jetond", build ? build : "build");
	return path;
}

static int make_directory(struct test_agent *a, const struct test_agent_options *options)
{
	char policies[160];
	int r;

	snprintf(a->dir, sizeof(a->dir), "%s/jeton-test-XXXXXX", options->under ? options->under : "/tmp");
	if (!mkdtemp(a->dir))
		return -errno;
	snprintf(a->socket, sizeof(a->socket), "%s/agent.sock", a->dir);
	if (options->state)
		snprintf(a->state, sizeof(a->state), "%s", options->state);
	else
		snprintf(a->state, sizeof(a->state), "%s/state", a->dir);
	snprintf(policies, sizeof(policies), "%s/policy.d", a->dir);
	if (mkdir(policies, 0755) < 0)
		return -errno;
	r = write_file(policies, "test.policy", "", options->policy ? options->policy : default_policy);
	if (r < 0)
		return r;
	return write_file(a->dir, "jeton.conf", "[Agent]\n", options->settings ? options->settings : "");
}

static void exec_agent(const struct test_agent *a)
{
	char config[160], policies[160], anchor[160], log[160];
	int fd;

	snprintf(config, sizeof(config), "%s/jeton.conf", a->dir);
	snprintf(policies, sizeof(policies), "%s/policy.d", a->dir);
	snprintf(anchor, sizeof(anchor), "%s/anchor", a->dir);
	snprintf(log, sizeof(log), "%s/log", a->dir);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(a->program, a->program, "--user", "--socket", a->socket, "--config", config, "--policy",
	      policies, "--state", a->state, "--anchor", anchor, NULL);
	perror(a->program);
	_exit(127);
}

int test_agent_spawn(struct test_agent *a)
{
	a->pid = fork();
	if (a->pid < 0)
		return -errno;
	if (a->pid == 0)
		exec_agent(a);
	return 0;
}

void test_agent_pass(int listening)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "agent", 1);
	/* Where it stands there already, dup2() would leave it to be closed by exec. */
	if (listening == 3)
		(void)fcntl(3, F_SETFD, 0);
	else
		dup2(listening, 3);
}

int test_agent_spawn_activated(struct test_agent *a, int listening)
{
	a->pid = fork();
	if (a->pid < 0)
		return -errno;
	if (a->pid == 0) {
		test_agent_pass(listening);
		exec_agent(a);
	}
	return 0;
}

static void show_log(const struct test_agent *a)
{
	char path[160], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", a->dir);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		fprintf(stderr, "    jetond: %s", line);
	fclose(f);
}

/* Whether it answers a call: a socket that takes connections may be one whose agent is not ready yet. */
static bool answers(const struct test_agent *a)
{
	static const char message[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	_cleanup_close_ int fd = test_agent_connect(a);
	char buf[4096];

	return fd >= 0 && test_call(fd, message, sizeof(message), buf, sizeof(buf)) > 0;
}

int test_agent_start(struct test_agent *a)
{
	int r;

	r = test_agent_spawn(a);
	if (r < 0)
		return r;
	for (int ms = 0; ms < START_PATIENCE_MS; ms++) {
		if (answers(a))
			return 0;
		if (waitpid(a->pid, NULL, WNOHANG) == a->pid) {
			a->pid = 0;
			break;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	fprintf(stderr, "%s does not answer in %s\n", a->program, a->dir);
	show_log(a);
	return -ETIMEDOUT;
}

int test_agent_init(struct test_agent *a, const struct test_agent_options *options)
{
	int r;

	*a = (struct test_agent){ .program = program_of(options) };
	r = make_directory(a, options);
	if (r >= 0)
		r = test_agent_start(a);
	if (r < 0)
		test_agent_done(a);
	return r;
}

static int end(struct test_agent *a, int sig)
{
	int status = 0;

	if (a->pid > 0) {
		kill(a->pid, sig);
		while (waitpid(a->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	a->pid = 0;
	return status;
}

int test_agent_kill(struct test_agent *a)
{
	return end(a, SIGKILL);
}

int test_agent_stop(struct test_agent *a)
{
	return end(a, SIGTERM);
}

void test_agent_done(struct test_agent *a)
{
	pid_t pid;

	test_agent_stop(a);
	if (!a->dir[0])
		return;
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--", a->dir, NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	a->dir[0] = '\0';
}

int test_agent_connect(const struct test_agent *a)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", a->socket) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return steal_fd(&fd);
}

static ssize_t receive(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	do {
		if (have == size)
			return -EMSGSIZE;
		n = recv(fd, buf + have, size - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		have += (size_t)n;
	} while (buf[have - 1] != '\0');
	return (ssize_t)have - 1;
}

ssize_t test_call(int fd, const char *message, size_t n, char *buf, size_t size)
{
	ssize_t sent;

	for (size_t done = 0; done < n; done += (size_t)sent) {
		sent = send(fd, message + done, n - done, MSG_NOSIGNAL);
		if (sent < 0)
			return -errno;
	}
	return receive(fd, buf, size);
}

ssize_t test_ask(int fd, const char *method, const char *parameters, char *buf, size_t size)
{
	char message[1024];
	ssize_t n;

	n = snprintf(message, sizeof(message), "{\"method\":\"io.jeton.Agent.%s\",\"parameters\":%s}",
		     method, parameters);
	if ((size_t)n >= sizeof(message))
		return -EMSGSIZE;
	n = test_call(fd, message, (size_t)n + 1, buf, size);
	if (n >= 0 && test_member(buf, "error").p)
		return -EREMOTEIO;
	return n;
}

/* What stands behind "name": in the reply. */
static const char *after_name(const char *reply, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(reply, key);
	return at ? at + strlen(key) : NULL;
}

struct span test_member(const char *reply, const char *name)
{
	const char *at = after_name(reply, name);

	if (!at || *at != '"')
		return SPAN_NONE;
	return (struct span){ at + 1, strcspn(at + 1, "\"") };
}

int64_t test_member_number(const char *reply, const char *name)
{
	const char *at = after_name(reply, name);
	int64_t value;

	return at && sscanf(at, "%" SCNd64, &value) == 1 ? value : -1;
}

int test_issue(int fd, const char *name, const char *scope, unsigned lifetime_s, char ret[static 68])
{
	char parameters[512], buf[8192];
	struct span token;
	ssize_t n;

	snprintf(parameters, sizeof(parameters), "{\"name\":\"%s\",\"lifetimeSec\":%u,\"scopes\":[\"%s\"]}",
		 name, lifetime_s, scope);
	n = test_ask(fd, "Issue", parameters, buf, sizeof(buf));
	if (n < 0) {
		if (n == -EREMOTEIO)
			fprintf(stderr, "Issue: %s\n", buf);
		return (int)n;
	}
	token = test_member(buf, "token");
	if (token.n != 67)
		return -EBADMSG;
	memcpy(ret, token.p, 67);
	ret[67] = '\0';
	return 0;
}
