/* agent/passed.c - see passed.h. Closing is the closer's: it may take as long as a stranger likes. */
#include "agent/passed.h"

#include <stdlib.h>
#include <string.h>

#include "agent/closer.h"

static void keep(struct passed *p, const int *fds, size_t n)
{
	size_t kept = 0;
	int *larger = NULL;

	if (p->n < PASSED_MAX)
		larger = reallocarray(p->fds, PASSED_MAX, sizeof(*larger));
	if (larger) {
		p->fds = larger;
		kept = n < PASSED_MAX - p->n ? n : PASSED_MAX - p->n;
		memcpy(p->fds + p->n, fds, kept * sizeof(*fds));
		p->n += (unsigned)kept;
	}
	closer_close(fds + kept, n - kept);
}

void passed_receive(struct passed *p, struct msghdr *message, struct span bytes)
{
	const char *nul = bytes.n ? memrchr(bytes.p, '\0', bytes.n) : NULL;
	unsigned before = p->n;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			keep(p, (const int *)(const void *)CMSG_DATA(c),
			     (c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (p->n > before)
		p->owner_end = nul ? p->received + (uint64_t)(nul - bytes.p) + 1 : 0;
	p->received += bytes.n;
}

static uint64_t end_of(const struct passed *p, struct span message)
{
	return p->given + message.n + 1;
}

const int *passed_for_message(struct passed *p, struct span message, unsigned *ret_n)
{
	*ret_n = p->n && (p->owner_end == 0 || p->owner_end == end_of(p, message)) ? p->n : 0;
	return p->fds;
}

static void drop(struct passed *p)
{
	closer_close(p->fds, p->n);
	free(p->fds);
	p->fds = NULL;
	p->n = 0;
	p->owner_end = 0;
}

void passed_end_message(struct passed *p, struct span message)
{
	unsigned n;

	(void)passed_for_message(p, message, &n);
	if (n)
		drop(p);
	p->given += message.n + 1;
}

void passed_done(struct passed *p)
{
	if (p->n)
		drop(p);
}
