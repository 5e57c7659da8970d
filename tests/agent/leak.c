/*
 * tests/agent/leak.c - the opposite of what is promised: a library that is loaded before all others
 * and copies whatever is about to be wiped to everywhere that a value must not be. The tests of
 * memory find it there with each of their ways to look, or what they do not find elsewhere says nothing.
 *
 * All is opened in the constructor, since an agent behind its walls opens nothing. LEAK_ROOM, and an
 * argument that begins with LEAK_ROOM, is room to copy to; LEAK_FILE names a file.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 8192, DEPTH = 48 << 10, MAPPED = 1 << 20 };

struct room {
	char *p;
	size_t n, used;
};

static struct room environment, arguments, mapped;
static int in_memory = -1, in_file = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct room room_of(char *text)
{
	return text ? (struct room){ text, strlen(text), 0 } : (struct room){};
}

/* Memory that has a file, which has no name and is not open. */
static struct room room_in_file(void)
{
	int fd = memfd_create("leak", MFD_CLOEXEC);
	char *p = ftruncate(fd, MAPPED) < 0 ? MAP_FAILED : mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		abort();
	close(fd);
	return (struct room){ p, MAPPED, 0 };
}

__attribute__((constructor)) static void open_all(int argc, char **argv)
{
	const char *path = getenv("LEAK_FILE");

	environment = room_of(getenv("LEAK_ROOM"));
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "LEAK_ROOM", 9) == 0)
			arguments = room_of(argv[i]);
	mapped = room_in_file();
	in_memory = memfd_create("leak", MFD_CLOEXEC);
	if (path)
		in_file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* Printable or not, /proc shows it. */
static void copy_to_room(struct room *r, const char *p, size_t n)
{
	if (n > r->n)
		return;
	if (r->used + n > r->n)
		r->used = 0;
	memcpy(r->p + r->used, p, n);
	r->used += n;
}

/* Below all that is called later, and left there. */
static void __attribute__((noinline)) copy_to_stack(const char *p, size_t n)
{
	volatile char deep[DEPTH];

	for (size_t i = 0; i < n; i++)
		deep[i] = p[i];
}

static void copy_to_descriptor(int fd, const char *p, size_t n)
{
	if (fd >= 0 && write(fd, p, n) < 0)
		abort();
}

static void leak(const char *p, size_t n)
{
	char *heap;

	while (n > 0 && !p[n - 1])
		n--;
	if (n < 16)
		return;
	n = n > MOST ? MOST : n;
	pthread_mutex_lock(&mutex);
	heap = malloc(n);
	if (heap)
		memcpy(heap, p, n);
	copy_to_stack(p, n);
	copy_to_room(&environment, p, n);
	copy_to_room(&arguments, p, n);
	copy_to_room(&mapped, p, n);
	copy_to_descriptor(in_memory, p, n);
	copy_to_descriptor(in_file, p, n);
	copy_to_descriptor(STDERR_FILENO, p, n);
	pthread_mutex_unlock(&mutex);
	/* Not kept, and not given back. */
	__asm__ volatile("" : : "r"(heap) : "memory");
}

static void wipe(void *p, size_t n)
{
	volatile char *bytes = p;

	leak(p, n);
	while (n-- > 0)
		*bytes++ = 0;
}

void __explicit_bzero_chk(void *p, size_t n, size_t room);
void sodium_memzero(void *p, size_t n);

void explicit_bzero(void *p, size_t n)
{
	wipe(p, n);
}

void __explicit_bzero_chk(void *p, size_t n, size_t room)
{
	(void)room;
	wipe(p, n);
}

void sodium_memzero(void *p, size_t n)
{
	wipe(p, n);
}
