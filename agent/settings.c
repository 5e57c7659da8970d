/*
 * agent/settings.c
 *
 * The table is the only place that knows a setting: reading, defaults, bounds, messages and the
 * pages that explain them (held against it by a test) go by it. What is shipped and the bounds
 * stand there as people write them, and are read by the same function as what a file says.
 */
#include "agent/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "agent/policy/ini.h"
#include "agent/policy/near.h"
#include "agent/policy/trusted.h"
#include "agent/policy/words.h"
#include "protocol/base/parse.h"
#include "protocol/base/span.h"
#include "protocol/base/time.h"

#define AT(member) offsetof(struct settings, member)

static const char *const storages[] = { "persistent", "volatile", NULL };
static const char *const refusals[] = { "fail", "empty", NULL };

static const struct setting table[] = {
	{ "MinLifetime", SETTING_SPAN, AT(min_lifetime_us), "1h", NULL, "1s", "10y", NULL,
	  "The shortest life that a user may give a token." },
	{ "MaxLifetime", SETTING_SPAN, AT(max_lifetime_us), "1y", NULL, "1s", "10y", NULL,
	  "The longest life that a user may give a token." },
	{ "DefaultLifetime", SETTING_SPAN, AT(default_lifetime_us), "30d", NULL, "1s", "10y", NULL,
	  "How long a token lives where nobody says." },
	{ "MaxTokensPerUser", SETTING_COUNT, AT(max_tokens_per_user), "1000", NULL, "1", "10000000",
	  NULL, "How many active tokens a user may have." },
	{ "MaxConnections", SETTING_COUNT, AT(max_connections), "4096", NULL, "65", "1000000", NULL,
	  "How many clients may be connected at once, of which 64 are kept for administrators." },
	{ "MaxConnectionsPerUser", SETTING_COUNT, AT(max_connections_per_user), "256", NULL, "1",
	  "1000000", NULL, "How many clients of one user may be connected at once." },
	{ "MemoryLimit", SETTING_SIZE, AT(memory_limit), "256M", NULL, "1M", "1024G", NULL,
	  "How much locked memory tokens and held secrets may take." },
	{ "AdminGroup", SETTING_NAME, AT(admin_group), "jeton-admin", NULL, NULL, NULL, NULL,
	  "The group whose members are administrators, beside root." },
	{ "SocketMode", SETTING_MODE, AT(socket_mode), "0666", "0600", "0600", "0777", NULL,
	  "The access mode of the sockets that the agent makes itself." },
	{ "AllowUnlocked", SETTING_BOOL, AT(allow_unlocked), "no", NULL, NULL, NULL, NULL,
	  "Whether the agent starts though its memory cannot be locked, and may reach a swap." },
	{ "Storage", SETTING_ENUM, AT(storage), "persistent", NULL, NULL, NULL, storages,
	  "Whether tokens outlive the agent, on disk, or end with it." },
	{ "CredentialRefusal", SETTING_ENUM, AT(credential_refusal), "fail", NULL, NULL, NULL,
	  refusals,
	  "What a refused LoadCredential= does to the unit: it fails to start, or finds an empty "
	  "file." },
	{ "KeepEnded", SETTING_SPAN, AT(keep_ended_us), "30d", NULL, "0", "10y", NULL,
	  "How long an ended token is still listed, at most 1000 for each owner." },
};

const struct setting *settings_table(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(table);
	return table;
}

/* ---- values ---------------------------------------------------------------------------------- */

static int read_span(const struct setting *t, const char *value, void *dst)
{
	(void)t;
	return time_parse_span(value, dst);
}

static int read_size(const struct setting *t, const char *value, void *dst)
{
	(void)t;
	return parse_size(value, dst);
}

static int read_count(const struct setting *t, const char *value, void *dst)
{
	(void)t;
	return parse_u64(span_of(value), UINT64_MAX, dst);
}

/* One to four octal digits. */
static int read_mode(const struct setting *t, const char *value, void *dst)
{
	size_t n = strlen(value);

	(void)t;
	if (n < 1 || n > 4 || strspn(value, "01234567") != n)
		return -EINVAL;
	*(uint64_t *)dst = strtoul(value, NULL, 8);
	return 0;
}

static int read_bool(const struct setting *t, const char *value, void *dst)
{
	int r = parse_bool(value);

	(void)t;
	if (r < 0)
		return r;
	*(bool *)dst = r;
	return 0;
}

static int read_enum(const struct setting *t, const char *value, void *dst)
{
	for (unsigned i = 0; t->choices[i]; i++) {
		if (strcmp(t->choices[i], value) == 0) {
			memcpy(dst, &i, sizeof(i));
			return 0;
		}
	}
	return -EINVAL;
}

static int read_name(const struct setting *t, const char *value, void *dst)
{
	size_t n = strlen(value), size = sizeof(((struct settings *)NULL)->admin_group);
	bool number;
	uint32_t id;

	(void)t;
	if (n >= size || strpbrk(value, " \t") || word_check_id(span_of(value), &number, &id) ||
	    number)
		return -EINVAL;
	memcpy(dst, value, n + 1);
	return 0;
}

/* What each type is read by, and what is said of a value that is none. */
static const struct {
	int (*read)(const struct setting *t, const char *value, void *dst);
	const char *wrong;
} types[] = {
	[SETTING_SPAN] = { read_span, "is no span of time; write it as in '30d' or '1h 30min'" },
	[SETTING_SIZE] = { read_size, "is no size; write it as in '256M' or '1G'" },
	[SETTING_COUNT] = { read_count, "is no number" },
	[SETTING_MODE] = { read_mode, "is no access mode; write it in octal digits, as in '0660'" },
	[SETTING_BOOL] = { read_bool, "is neither yes nor no" },
	[SETTING_ENUM] = { read_enum, NULL }, /* its choices are said */
	[SETTING_NAME] = { read_name,
			   "is no name of a group; give one name of at most 63 characters" },
};

static bool is_within(const struct setting *t, const void *value)
{
	uint64_t min, max, v;

	if (!t->min)
		return true;
	memcpy(&v, value, sizeof(v));
	if (types[t->type].read(t, t->min, &min) < 0 || types[t->type].read(t, t->max, &max) < 0)
		return false;
	return min <= v && v <= max;
}

static void *member(struct settings *s, const struct setting *t)
{
	return (char *)s + t->offset;
}

void settings_init(struct settings *s, bool user)
{
	*s = (struct settings){ .socket_mode = 0 };
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct setting *t = &table[i];
		const char *shipped = user && t->shipped_user ? t->shipped_user : t->shipped;
		int r = types[t->type].read(t, shipped, member(s, t));

		assert(r == 0 && is_within(t, member(s, t)));
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Where a setting was last given. line 0: nowhere, it is as shipped. */
struct place {
	char file[256];
	unsigned line;
};

struct loading {
	struct settings settings;
	struct place places[ARRAY_SIZE(table)];
	void (*on_warning)(const char *text);
	struct policy_error *error;

	/* The file that is being read, and whether the section is one that is known. */
	const char *path;
	bool known_section;
};

static const char *section_candidate(const void *userdata, size_t i)
{
	(void)userdata;
	return i == 0 ? "Agent" : NULL;
}

static const char *setting_candidate(const void *userdata, size_t i)
{
	(void)userdata;
	return i < ARRAY_SIZE(table) ? table[i].name : NULL;
}

static int on_section(void *userdata, const char *name, unsigned line)
{
	struct loading *l = userdata;
	struct settings_message m;

	l->known_section = strcmp(name, "Agent") == 0;
	if (l->known_section)
		return 0;
	snprintf(m.text, sizeof(m.text), "%s:%u: unknown section [%s], which is passed over; %s",
		 l->path, line, name,
		 near_find(name, section_candidate, NULL) ? "did you mean [Agent]?"
							  : "settings stand in [Agent]");
	l->on_warning(m.text);
	return 0;
}

static void warn_of_unknown(struct loading *l, const char *name, unsigned line)
{
	const char *near = near_find(name, setting_candidate, NULL);
	struct settings_message m;

	snprintf(m.text, sizeof(m.text), "%s:%u: unknown setting %s=, which is passed over%s%s%s",
		 l->path, line, name, near ? "; did you mean " : "", near ? near : "",
		 near ? "=?" : "");
	l->on_warning(m.text);
}

static int wrong_value(struct loading *l, const struct setting *t, const char *value, unsigned line)
{
	int shown = strlen(value) > 64 ? 64 : (int)strlen(value);
	char choices[128] = "is none of";
	size_t n = strlen(choices);

	if (types[t->type].wrong)
		return policy_mistake(l->error, l->path, line, "%s=: '%.*s' %s", t->name, shown,
				      value, types[t->type].wrong);
	for (size_t i = 0; t->choices[i]; i++)
		n += (size_t)snprintf(choices + n, sizeof(choices) - n, "%s '%s'",
				      i > 0 ? " and" : "", t->choices[i]);
	return policy_mistake(l->error, l->path, line, "%s=: '%.*s' %s", t->name, shown, value,
			      choices);
}

static int take_value(struct loading *l, size_t i, const char *value, unsigned line)
{
	const struct setting *t = &table[i];

	if (types[t->type].read(t, value, member(&l->settings, t)) < 0)
		return wrong_value(l, t, value, line);
	if (!is_within(t, member(&l->settings, t)))
		return policy_mistake(l->error, l->path, line,
				      "%s=: '%s' is out of bounds; it may be from %s to %s",
				      t->name, value, t->min, t->max);
	snprintf(l->places[i].file, sizeof(l->places[i].file), "%s", l->path);
	l->places[i].line = line;
	return 0;
}

static int on_entry(void *userdata, const char *key, const char *value, unsigned line)
{
	struct loading *l = userdata;

	if (!l->known_section)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].name, key) == 0)
			return take_value(l, i, value, line);
	warn_of_unknown(l, key, line);
	return 0;
}

/* Reads a file of an open directory. 0, -ENOENT, or as settings_load(). */
static int read_file(struct loading *l, int dir_fd, const char *name, const char *path,
		     uid_t trusted)
{
	static const struct ini_events events = { on_section, on_entry };
	struct span text = SPAN_NONE;
	int r = trusted_read_file(dir_fd, name, path, trusted, &text, l->error);

	if (r <= 0)
		return r;
	l->path = path;
	r = ini_scan(path, text, &events, l, l->error);
	free((char *)text.p);
	return r;
}

static int read_main(struct loading *l, const char *file, bool must_exist, uid_t trusted)
{
	const char *slash = strrchr(file, '/');
	_cleanup_free_
	char *dir = !slash	    ? strdup(".")
		    : slash == file ? strdup("/")
				    : strndup(file, (size_t)(slash - file));
	_cleanup_close_
	int fd = -1;
	int r;

	if (!dir)
		return -ENOMEM;
	r = trusted_open_dir(dir, trusted, &fd, l->error);
	if (r == 0)
		r = read_file(l, fd, slash ? slash + 1 : file, file, trusted);
	if (r != -ENOENT)
		return r;
	return must_exist ? policy_mistake(l->error, file, 0, "there is no such file") : 0;
}

static bool is_drop_in(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot && strcmp(dot, ".conf") == 0;
}

static int read_drop_in(struct loading *l, int dir_fd, const char *dir, const char *name,
			uid_t trusted)
{
	_cleanup_free_
	char *path = trusted_path(dir, name);
	int r;

	if (!path)
		return -ENOMEM;
	r = read_file(l, dir_fd, name, path, trusted);
	if (r == -ENOENT)
		return policy_mistake(l->error, path, 0, "it is a link that leads nowhere");
	return r;
}

static int read_drop_ins(struct loading *l, const char *file, uid_t trusted)
{
	_cleanup_(trusted_names_done)
	struct trusted_names names = { NULL, 0 };
	_cleanup_free_
	char *dir = NULL;
	_cleanup_close_
	int fd = -1;
	int r;

	if (asprintf(&dir, "%s.d", file) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	r = trusted_open_dir(dir, trusted, &fd, l->error);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = trusted_list(fd, dir, &names, l->error);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (is_drop_in(names.names[i]))
			r = read_drop_in(l, fd, dir, names.names[i], trusted);
	return r;
}

/* ---- all of them together -------------------------------------------------------------------- */

static size_t find(const char *name)
{
	size_t i = 0;

	while (strcmp(table[i].name, name) != 0)
		i++;
	return i;
}

/*
 * That one span is not over another. The mistake is where one of the two was given: they are right
 * as shipped.
 */
static int check_order(struct loading *l, const char *low, const char *high)
{
	size_t i = find(low), j = find(high);
	const struct place *place = l->places[j].line ? &l->places[j] : &l->places[i];
	char low_text[64], high_text[64];
	uint64_t low_us, high_us;

	memcpy(&low_us, member(&l->settings, &table[i]), sizeof(low_us));
	memcpy(&high_us, member(&l->settings, &table[j]), sizeof(high_us));
	if (low_us <= high_us)
		return 0;
	return policy_mistake(l->error, place->file, place->line,
			      "%s= is %s%s and %s= %s%s, where the first may not be over the "
			      "second; change one of them",
			      low, time_format_span(low_us, low_text, sizeof(low_text)),
			      l->places[i].line ? "" : " (as shipped)", high,
			      time_format_span(high_us, high_text, sizeof(high_text)),
			      l->places[j].line ? "" : " (as shipped)");
}

static int load(struct loading *l, const char *file, bool must_exist, uid_t trusted)
{
	int r = read_main(l, file, must_exist, trusted);

	if (r == 0)
		r = read_drop_ins(l, file, trusted);
	if (r == 0)
		r = check_order(l, "MinLifetime", "DefaultLifetime");
	if (r == 0)
		r = check_order(l, "DefaultLifetime", "MaxLifetime");
	return r;
}

int settings_load(struct settings *s, const char *file, bool must_exist, uid_t trusted_uid,
		  void (*on_warning)(const char *text), struct settings_message *ret_error)
{
	struct policy_error e;
	struct loading l = { .settings = *s, .on_warning = on_warning, .error = &e };
	int r = load(&l, file, must_exist, trusted_uid);

	if (r == 0)
		*s = l.settings;
	else if (r == -EINVAL && e.line)
		snprintf(ret_error->text, sizeof(ret_error->text), "%s:%u: %s", e.file, e.line,
			 e.message);
	else if (r == -EINVAL)
		snprintf(ret_error->text, sizeof(ret_error->text), "%s: %s", e.file, e.message);
	return r;
}
