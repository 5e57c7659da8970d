/*
 * tests/unit/map-agent.c - a poll loop. Requests are looked at with strstr(): what they are has
 * tests of its own.
 */
#include "tests/unit/map-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { REQUEST_MAX = 256 * 1024, BEAT_MS = 100 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void answer(int fd, const char *text, int passed)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) + 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (passed >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
	}
	(void)sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void on_get_map(struct map_agent *a, int fd)
{
	char text[128];

	a->n_get_map++;
	if (a->map_fd >= 0) {
		answer(fd, "{\"parameters\":{\"fd\":0,\"format\":1}}", a->map_fd);
		return;
	}
	snprintf(text, sizeof(text), "{\"error\":\"%s\"}", a->refusal);
	answer(fd, text, -1);
}

static void on_verify(struct map_agent *a, int fd, const char *request)
{
	char text[512];

	a->n_verify++;
	if (!a->good || !strstr(request, a->good)) {
		answer(fd, "{\"error\":\"io.jeton.Agent.InvalidToken\"}", -1);
		return;
	}
	snprintf(text, sizeof(text),
		 "{\"parameters\":{\"info\":{\"id\":\"%s\",\"name\":\"x\",\"ownerUid\":0,"
		 "\"createdUSec\":1,"
		 "\"expiresUSec\":4102444800000000,\"state\":\"active\",\"binding\":\"none\"},"
		 "\"access\":[]}}",
		 a->good);
	answer(fd, text, -1);
}

static void on_report(struct map_agent *a, int fd, const char *request)
{
	const char *p = request;
	unsigned long long n, last;
	char text[128];

	a->n_report++;
	if (a->report_error) {
		snprintf(text, sizeof(text), "{\"error\":\"%s\"}", a->report_error);
		answer(fd, text, -1);
		return;
	}
	(void)poll(NULL, 0, (int)a->late_ms);
	a->late_ms = 0;
	while ((p = strstr(p, "{\"id\":\""))) {
		uint64_t id;

		p += strlen("{\"id\":\"");
		must(token_id_read((struct span){ p, TOKEN_ID_LEN }, &id));
		must(sscanf(p + TOKEN_ID_LEN, "\",\"count\":%llu,\"lastUSec\":%llu}", &n, &last) ==
		     2);
		if (id < MAP_AGENT_IDS)
			a->n_reported[id] += n;
		else
			a->n_other += n;
		if (last > a->last_us)
			a->last_us = last;
	}
	answer(fd, "{\"parameters\":{}}", -1);
}

/* Takes one request; false: the client went. */
static bool serve(struct map_agent *a, int fd, char *request)
{
	size_t n = 0;

	do {
		ssize_t got = recv(fd, request + n, REQUEST_MAX - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
	} while (request[n - 1] != '\0');
	pthread_mutex_lock(&a->lock);
	if (strstr(request, "io.jeton.Verifier.GetMap"))
		on_get_map(a, fd);
	else if (strstr(request, "io.jeton.Verifier.ReportUses"))
		on_report(a, fd, request);
	else
		on_verify(a, fd, request);
	pthread_mutex_unlock(&a->lock);
	return true;
}

static void accept_one(struct map_agent *a)
{
	int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC);

	must(fd >= 0);
	for (int i = 0; i < MAP_AGENT_CONNECTIONS; i++)
		if (a->connections[i] < 0) {
			a->connections[i] = fd;
			return;
		}
	close(fd);
}

static void beat(struct map_agent *a)
{
	pthread_mutex_lock(&a->lock);
	if (a->beats)
		map_maker_beat(a->beats);
	pthread_mutex_unlock(&a->lock);
}

static void *run(void *userdata)
{
	struct map_agent *a = userdata;
	struct pollfd p[MAP_AGENT_CONNECTIONS + 2];

	a->request = malloc(REQUEST_MAX);
	must(a->request);
	for (;;) {
		p[0] = (struct pollfd){ .fd = a->stop[0], .events = POLLIN };
		p[1] = (struct pollfd){ .fd = a->listener, .events = POLLIN };
		for (int i = 0; i < MAP_AGENT_CONNECTIONS; i++)
			p[i + 2] = (struct pollfd){ .fd = a->connections[i], .events = POLLIN };
		must(poll(p, ARRAY_SIZE(p), BEAT_MS) >= 0 || errno == EINTR);
		if (p[0].revents)
			break;
		beat(a);
		for (int i = 0; i < MAP_AGENT_CONNECTIONS; i++)
			if (p[i + 2].revents && !serve(a, p[i + 2].fd, a->request)) {
				close(p[i + 2].fd);
				a->connections[i] = -1;
			}
		if (p[1].revents)
			accept_one(a);
	}
	free(a->request);
	return NULL;
}

void map_agent_start(struct map_agent *a)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(a, 0, sizeof(*a));
	for (int i = 0; i < MAP_AGENT_CONNECTIONS; i++)
		a->connections[i] = -1;
	pthread_mutex_init(&a->lock, NULL);
	a->map_fd = -1;
	a->refusal = "org.varlink.service.PermissionDenied";
	strcpy(a->dir, "/tmp/jeton-map-XXXXXX");
	must(mkdtemp(a->dir));
	snprintf(a->path, sizeof(a->path), "%s/agent.sock", a->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", a->path);
	a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(a->listener >= 0);
	must(bind(a->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	must(listen(a->listener, 64) == 0 && pipe2(a->stop, O_CLOEXEC) == 0);
	must(pthread_create(&a->thread, NULL, run, a) == 0);
}

void map_agent_stop(struct map_agent *a)
{
	close(a->stop[1]);
	pthread_join(a->thread, NULL);
	for (int i = 0; i < MAP_AGENT_CONNECTIONS; i++)
		if (a->connections[i] >= 0)
			close(a->connections[i]);
	close(a->stop[0]);
	close(a->listener);
	unlink(a->path);
	rmdir(a->dir);
	pthread_mutex_destroy(&a->lock);
}

void map_agent_give(struct map_agent *a, struct map_maker *m, const char *refusal)
{
	pthread_mutex_lock(&a->lock);
	a->map_fd = m ? m->fd : -1;
	a->beats = m;
	a->refusal = refusal;
	pthread_mutex_unlock(&a->lock);
}
