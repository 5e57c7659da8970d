/*
 * ctl/cmd-scan.c - scan: tokens in files, by their form and checksum. Offline, but for --revoke.
 *
 * A value is never printed, nor a path with one in it. With --revoke each is presented to the agent
 * as it is found, so that nothing has to be kept.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/json-print.h"
#include "ctl/leaked.h"
#include "ctl/output.h"
#include "ctl/scan-text.h"
#include "ctl/text.h"
#include "ctl/value.h"
#include "ctl/walk.h"
#include "protocol/base/parse.h"
#include "protocol/json.h"

struct scan {
	const struct args *args;
	struct jeton *jeton;
	const char *path; /* of what is being read */
	uint64_t n_found;
	int status;    /* of what went wrong; EXIT_DONE: nothing did */
	bool given_up; /* the agent is not there to be asked */
	struct scan_text text;
};

/* A path as it may be shown: no value in it. Free it. */
static char *path_without_values(const char *path)
{
	char *copy = strdup(path);
	struct span secret;

	while (copy && value_find(copy, &secret))
		memset(copy + (secret.p - copy), '*', secret.n);
	return copy;
}

static void print_path(const char *path)
{
	_cleanup_free_ char *shown = path_without_values(path);

	text_print(stdout, span_of(shown ? shown : "?"));
}

/* JSON must be UTF-8, and paths need not be: such a one is spelt out. */
static void put_path(struct json_writer *w, const char *path)
{
	_cleanup_free_ char *shown = path_without_values(path);
	char spelt[8192];

	if (!shown || utf8_valid(span_of(shown))) {
		json_put_string_or_null(w, span_of(shown));
		return;
	}
	text_escape(span_of(shown), spelt, sizeof(spelt));
	json_put_string(w, span_of(spelt));
}

static void print_found_json(struct scan *s, struct span id, uint64_t line, enum leaked leaked)
{
	static char room[64 * 1024];
	struct json_writer w;

	json_writer_init(&w, room, sizeof(room));
	json_open(&w, '{');
	json_key(&w, "file");
	put_path(&w, s->path);
	json_key(&w, "line");
	json_put_int(&w, (int64_t)line);
	json_key(&w, "id");
	json_put_string(&w, id);
	if (s->args->revoke) {
		json_key(&w, "result");
		json_put_string(&w, span_of(leaked_word(leaked)));
	}
	json_close(&w, '}');
	fputs(s->n_found > 1 ? "," : "", stdout);
	fputs(s->args->json == JSON_PRETTY ? "\n    " : "", stdout);
	json_print(json_root((struct span){ room, w.n }), s->args->json == JSON_PRETTY, 2, stdout);
}

static void print_found(struct scan *s, struct span id, uint64_t line, enum leaked leaked)
{
	if (s->args->json) {
		print_found_json(s, id, line, leaked);
		return;
	}
	print_path(s->path);
	printf(":%" PRIu64 ": %.*s", line, (int)id.n, id.p);
	if (s->args->revoke && leaked != LEAKED_FAILED)
		printf(" %s", leaked_text(leaked));
	putchar('\n');
}

static enum leaked end(struct scan *s, struct span token)
{
	int status = EXIT_DONE;
	enum leaked leaked = LEAKED_FAILED;

	if (s->given_up)
		return LEAKED_FAILED;
	if (!s->jeton)
		status = ask_open(s->args, &s->jeton);
	if (status == EXIT_DONE)
		leaked = leaked_end(s->args, s->jeton, token, &status);
	if (status != EXIT_DONE) {
		s->status = status;
		s->given_up = true;
	}
	return leaked;
}

static int on_token(void *userdata, struct span token, uint64_t line)
{
	struct scan *s = userdata;
	enum leaked leaked = LEAKED_FAILED;

	s->n_found++;
	if (s->args->revoke)
		leaked = end(s, token);
	print_found(s, (struct span){ token.p + TOKEN_SECRET_AT - 1 - TOKEN_ID_LEN, TOKEN_ID_LEN },
		    line, leaked);
	return 0;
}

static void on_error(void *userdata, const char *path, int error)
{
	struct scan *s = userdata;
	_cleanup_free_ char *shown = path_without_values(path);

	s->status =
		fail(EXIT_FAILED, "can't read %s: %s", shown ? shown : "?",
		     error == EINVAL ? "it is neither a file nor a directory" : strerror(error));
}

/*
 * Waits for what a pipe that is not blocking has next. Files that say EAGAIN are the kernel's, and
 * have no more.
 */
static bool wait_for_more(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct stat st;

	return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && poll(&p, 1, -1) > 0;
}

static int on_file(void *userdata, const char *path, int fd)
{
	struct scan *s = userdata;
	ssize_t n = 1;

	s->path = path;
	scan_text_start(&s->text, on_token, s);
	while (n > 0) {
		size_t room;
		char *at;

		room = scan_text_room(&s->text, &at);
		n = read(fd, at, room);
		if (n < 0 && (errno == EINTR || (errno == EAGAIN && wait_for_more(fd))))
			n = 1;
		else if (n < 0)
			on_error(s, path, errno);
		else if (scan_text_piece(&s->text, (size_t)n) != 0)
			return 1;
	}
	scan_text_end(&s->text);
	return 0;
}

/* A name can hold a token as well. It stands on no line. */
static int on_path(void *userdata, const char *path)
{
	struct scan *s = userdata;
	const char *slash = strrchr(path, '/');
	struct span name = span_of(slash ? slash + 1 : path), token;

	s->path = path;
	while (token_find(name, &token)) {
		if (on_token(s, token, 0) != 0)
			return 1;
		name.n -= (size_t)(token.p + TOKEN_LEN - name.p);
		name.p = token.p + TOKEN_LEN;
	}
	return 0;
}

static void scan_all(struct scan *s)
{
	const struct walker walker = { on_file, on_path, on_error, s };
	static char here[] = ".", *only_here[] = { here };
	char **paths = s->args->n_operands ? s->args->operands : only_here;
	size_t n = s->args->n_operands ? s->args->n_operands : 1;

	for (size_t i = 0; i < n; i++) {
		int r = strcmp(paths[i], "-") ? walk_path(paths[i], &walker)
					      : on_file(s, "-", STDIN_FILENO);

		if (r != 0)
			return;
	}
}

int cmd_scan(const struct args *a)
{
	static struct scan s;
	bool pretty = a->json == JSON_PRETTY;

	s.args = a;
	if (a->json)
		fputs(pretty ? "{\n  \"found\": [" : "{\"found\":[", stdout);
	scan_all(&s);
	if (a->json)
		puts(!pretty ? "]}" : s.n_found ? "\n  ]\n}" : "]\n}");
	jeton_free(s.jeton);
	if (s.status > EXIT_FAILED)
		return s.status;
	return s.n_found ? EXIT_NOT_GOOD : s.status;
}
