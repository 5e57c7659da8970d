/*
 * agent/passed.c - see passed.h. Closing is the closer's: it may take as long as a stranger likes.
 * Few are kept, or a handful of clients with half a message each would have all that there are.
 */
#include "agent/passed.h"

#include <assert.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/closer.h"
#include "protocol/base/cleanup.h"

enum { SPARE_DESCRIPTORS = 16 };

/* Where hardly any are left, calls need them more: the lowest free number is given out first. */
static size_t n_affordable(const int *fds, size_t n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		while (n > 0 && (rlim_t)fds[n - 1] + SPARE_DESCRIPTORS >= limit.rlim_cur)
			n--;
	return n;
}

static void keep(struct passed_batch *b, const int *fds, size_t n)
{
	size_t kept = n < PASSED_KEPT - b->n ? n : PASSED_KEPT - b->n;

	kept = n_affordable(fds, kept);
	memcpy(b->fds + b->n, fds, kept * sizeof(*fds));
	b->n += (unsigned)kept;
	if (n > kept)
		closer_close(fds + kept, n - kept);
}

/* Where what starts at p->received ends, with the NUL at nul; 0: there is none. */
static uint64_t end_at(const struct passed *p, struct span bytes, const char *nul)
{
	return nul ? p->received + (uint64_t)(nul - bytes.p) + 1 : 0;
}

/* The batch for descriptors of the message that ends at owner_end. */
static struct passed_batch *batch_for(struct passed *p, uint64_t owner_end)
{
	struct passed_batch *b = p->batches;

	if (b->n > 0 && b->owner_end != owner_end)
		b++;
	assert(b->n == 0 || b->owner_end == owner_end);
	b->owner_end = owner_end;
	return b;
}

void passed_receive(struct passed *p, struct msghdr *message, struct span bytes)
{
	const char *first = bytes.n ? memchr(bytes.p, '\0', bytes.n) : NULL;
	const char *last = bytes.n ? memrchr(bytes.p, '\0', bytes.n) : NULL;

	/* Those of half a message belong to it, whatever else came with the rest of it. */
	if (p->batches[0].n > 0 && p->batches[0].owner_end == 0)
		p->batches[0].owner_end = end_at(p, bytes, first);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			keep(batch_for(p, end_at(p, bytes, last)),
			     (const int *)(const void *)CMSG_DATA(c),
			     (c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	p->received += bytes.n;
}

const int *passed_for_message(const struct passed *p, struct span message, unsigned *ret_n)
{
	const struct passed_batch *b = p->batches;

	*ret_n = b->n > 0 && b->owner_end == p->given + message.n + 1 ? b->n : 0;
	return b->fds;
}

static void drop_first(struct passed *p)
{
	closer_close(p->batches[0].fds, p->batches[0].n);
	p->batches[0] = p->batches[1];
	p->batches[1] = (struct passed_batch){ 0 };
}

void passed_end_message(struct passed *p, struct span message)
{
	unsigned n;

	(void)passed_for_message(p, message, &n);
	if (n)
		drop_first(p);
	p->given += message.n + 1;
}

void passed_done(struct passed *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->batches); i++)
		if (p->batches[0].n > 0)
			drop_first(p);
}
