/*
 * ctl/doctor-unit.c - LoadCredential=NAME:SOCKET of a unit, before the unit is started: a refusal
 * there fails the unit, with the reason in the agent's log alone.
 *
 * What the unit says is taken from `systemctl cat`, as people read it; whether it would get it is
 * the agent's to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/policy/access.h"
#include "ctl/doctor.h"
#include "ctl/options.h"
#include "ctl/policy-disk.h"
#include "protocol/base/cleanup.h"

/* A unit's name and a credential's together, by the address that systemd asks from. */
enum { NAMES_MAX = 83 };

struct unit {
	struct doctor *doctor;
	char name[256];
	char socket[4096];
	struct policy *policy; /* as on the disk; NULL: not known */
	unsigned n;
};

/* Of the agent that is asked: beside its other one. */
static void find_socket(struct unit *u)
{
	const char *path = jeton_path(u->doctor->jeton), *slash = strrchr(path, '/');

	snprintf(u->socket, sizeof(u->socket), "%.*scredential.sock",
		 slash ? (int)(slash - path + 1) : 0, path);
}

static void look_at_socket(struct unit *u)
{
	struct stat st;

	if (stat(u->socket, &st) == 0 && S_ISSOCK(st.st_mode))
		return;
	if (errno == EACCES)
		return;
	doctor_tell(u->doctor, FINDING_WRONG, "Unit",
		    "there is no socket %s for it to ask at: systemctl start jetond.socket",
		    u->socket);
}

/* ---- what is held ---- */

struct searching {
	struct unit *unit;
	const char *credential;
	bool wrong;
};

static int on_credential(void *userdata, const struct jeton_credential *c)
{
	struct searching *s = userdata;
	int64_t now_us = (int64_t)s->unit->doctor->args->now_us;

	if (strcmp(c->name, s->credential) != 0 || c->kind != JETON_CREDENTIAL_HELD)
		return 0;
	s->wrong = c->updated_us == JETON_UNSET ||
		   (c->expires_us != JETON_UNSET && c->expires_us <= now_us);
	if (s->wrong)
		doctor_tell(s->unit->doctor, FINDING_WRONG, "Unit",
			    "LoadCredential=%s of %s is refused: it %s; jetonctl put %s", c->name,
			    s->unit->name,
			    c->updated_us == JETON_UNSET ? "is empty" : "has expired", c->name);
	return 0;
}

static bool is_there(struct unit *u, const char *credential)
{
	struct searching s = { u, credential, false };

	return jeton_list_credentials(u->doctor->jeton, on_credential, &s) == 0 && !s.wrong;
}

/* ---- what is allowed ---- */

static bool is_bound_to_process(const struct unit *u, const char *credential)
{
	const struct policy_credential *c =
		u->policy ? policy_find_credential(u->policy, span_of(credential)) : NULL;

	return c && c->minted && c->binding == 1;
}

/*
 * There systemd asks, and a section with Unit= counts by that alone, even where it names a user as
 * well, whom nobody can name here.
 */
static bool is_allowed_by_unit(const struct unit *u, const char *credential)
{
	const struct subject subject = { .uid = (uid_t)-1, .no_user = true, .unit = u->name };

	return u->policy && fetch_is_allowed(u->policy, &subject, span_of(credential), true, NULL);
}

static void tell_refused(struct unit *u, const char *credential, const char *const lines[])
{
	char text[1536] = "";

	for (size_t i = 0, at = 0; lines[i] && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "; " : "",
				       lines[i]);
	doctor_tell(u->doctor, FINDING_WRONG, "Unit", "LoadCredential=%s of %s is refused: %s",
		    credential, u->name, text);
}

static void judge(struct unit *u, const char *credential)
{
	const char *const *lines;
	int allowed, r;

	r = jeton_explain(u->doctor->jeton, NULL, u->name, credential, NULL, &allowed, &lines);
	if (r == JETON_ERROR_PERMISSION_DENIED)
		doctor_tell(u->doctor, FINDING_WARNING, "Unit",
			    "LoadCredential=%s of %s: only an administrator may ask for a unit; "
			    "run this as root",
			    credential, u->name);
	else if (r != 0)
		doctor_tell(u->doctor, FINDING_WRONG, "Unit", "%s",
			    jeton_error_message(u->doctor->jeton));
	else if (allowed != 1 && !is_allowed_by_unit(u, credential))
		tell_refused(u, credential, lines);
	else if (is_bound_to_process(u, credential))
		doctor_tell(u->doctor, FINDING_WRONG, "Unit",
			    "LoadCredential=%s of %s is refused: Binding=process is for a process "
			    "that asks by itself; write Binding=unit",
			    credential, u->name);
	else if (is_there(u, credential))
		doctor_tell(u->doctor, FINDING_GOOD, "Unit", "LoadCredential=%s of %s is granted",
			    credential, u->name);
}

static void look_at_one(struct unit *u, const char *credential)
{
	u->n++;
	if (strchr(credential, '%'))
		doctor_tell(u->doctor, FINDING_WARNING, "Unit",
			    "LoadCredential=%s of %s has a specifier, which is not looked at here",
			    credential, u->name);
	else if (!is_credential_name(credential))
		doctor_tell(u->doctor, FINDING_WRONG, "Unit",
			    "LoadCredential=%s of %s is refused: that is no credential's name",
			    credential, u->name);
	else if (strlen(credential) + strlen(u->name) > NAMES_MAX)
		doctor_tell(u->doctor, FINDING_WRONG, "Unit",
			    "LoadCredential=%s of %s: the names are too long for systemd to ask: "
			    "at most %d characters together",
			    credential, u->name, NAMES_MAX);
	else
		judge(u, credential);
}

/* ---- what the unit says ---- */

/* A list of those that ask there; an empty value ends what stood before it. */
struct wanted {
	char names[32][256];
	size_t n;
};

static void read_line(struct unit *u, char *line, struct wanted *w)
{
	static const char key[] = "LoadCredential=";
	char *value = line + strlen(key), *colon;

	line[strcspn(line, "\r\n")] = 0;
	if (strncmp(line, key, strlen(key)) != 0)
		return;
	if (!*value)
		w->n = 0;
	colon = strchr(value, ':');
	if (!colon || strcmp(colon + 1, u->socket) != 0 || w->n == ARRAY_SIZE(w->names))
		return;
	*colon = 0;
	snprintf(w->names[w->n++], sizeof(w->names[0]), "%s", value);
}

/* Starts `systemctl cat UNIT`; its output, or NULL. */
static FILE *start_systemctl(const struct unit *u, pid_t *ret_pid)
{
	const char *argv[] = { "systemctl", "cat", "--", u->name, NULL, NULL };
	posix_spawn_file_actions_t actions;
	FILE *out = NULL;
	int pipe[2];

	if (u->doctor->args->user) {
		argv[1] = "--user";
		argv[2] = "cat";
		argv[3] = "--";
		argv[4] = u->name;
	}
	if (pipe2(pipe, O_CLOEXEC) < 0)
		return NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(ret_pid, argv[0], &actions, NULL, (char *const *)argv, environ) == 0)
		out = fdopen(pipe[0], "r");
	posix_spawn_file_actions_destroy(&actions);
	close(pipe[1]);
	if (!out)
		close(pipe[0]);
	return out;
}

static bool read_unit(struct unit *u, struct wanted *w)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int status = -1;
	pid_t pid = 0;
	FILE *out = start_systemctl(u, &pid);

	if (!out)
		return false;
	while (getline(&line, &size, out) >= 0)
		read_line(u, line, w);
	fclose(out);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void load_policy(struct unit *u)
{
	struct policy_dirs dirs;
	struct policy_error e;

	if (policy_disk_find(u->doctor->args, u->doctor->jeton, &dirs) &&
	    policy_load(dirs.paths, dirs.n, dirs.trusted_uid, &u->policy, &e) < 0)
		u->policy = NULL;
}

static void look(struct unit *u)
{
	struct wanted w = { .n = 0 };

	if (!read_unit(u, &w)) {
		doctor_tell(u->doctor, FINDING_WRONG, "Unit",
			    "%s is no unit that systemctl cat knows: mend the name, or systemctl "
			    "daemon-reload",
			    u->name);
		return;
	}
	if (w.n == 0)
		doctor_tell(u->doctor, FINDING_WARNING, "Unit",
			    "%s has no LoadCredential=NAME:%s, so it is given nothing there",
			    u->name, u->socket);
	else
		look_at_socket(u);
	for (size_t i = 0; i < w.n && u->doctor->answers; i++)
		look_at_one(u, w.names[i]);
}

void doctor_unit(struct doctor *d, const char *unit)
{
	struct unit u = { .doctor = d };

	snprintf(u.name, sizeof(u.name), "%.200s%s", unit, strchr(unit, '.') ? "" : ".service");
	find_socket(&u);
	load_policy(&u);
	look(&u);
	policy_free(u.policy);
}
