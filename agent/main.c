/* agent/main.c - jetond: options to an agent, and the agent's end to an exit status. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "agent/rules-in-force.h"

static const char usage[] =
	"Usage: jetond [--user] [OPTION]...\n"
	"\n"
	"The Jeton token agent: issues, verifies, rotates and revokes API tokens for the programs "
	"of this\n"
	"host, over a Unix socket that speaks Varlink. Runs in the foreground; systemd starts it "
	"as a\n"
	"service. Talk to it with jetonctl(1).\n"
	"\n"
	"  --user         a user's own agent: settings, policies and state in the XDG base "
	"directories\n"
	"  --socket PATH  where it listens (/run/jeton/agent.sock; --user: "
	"$XDG_RUNTIME_DIR/jeton/agent.sock)\n"
	"  --credential-socket PATH\n"
	"                 where systemd asks for LoadCredential= (/run/jeton/credential.sock, or beside\n"
	"                 a user's own; with --socket: none)\n"
	"  --config FILE  its settings (/etc/jeton/jeton.conf; --user: "
	"~/.config/jeton/jeton.conf)\n"
	"  --policy DIR   the directory of its policies, instead of all others "
	"(/etc/jeton/policy.d and so on)\n"
	"  --state DIR    where it keeps what it must not forget (/var/lib/jeton; --user: "
	"~/.local/state/jeton)\n"
	"  --anchor DIR   where it keeps what tells an old copy of that (/var/lib/jeton-anchor; --user:\n"
	"                 ~/.local/state/jeton-anchor; with --state: none)\n"
	"  --journal PATH the socket of the journal for its audit "
	"(/run/systemd/journal/socket where standard\n"
	"                 error is the journal's; else none)\n"
	"  --check        read settings and policies, say what is wrong with them, and end\n"
	"  --help         print this\n"
	"  --version      print the version\n"
	"\n"
	"Signals: SIGTERM and SIGINT end it when the calls under way are answered, SIGHUP reads "
	"the\n"
	"policies anew. Exit status: 0 ended as told, 1 failed, 2 wrong usage.\n";

enum option_code {
	OPTION_USER = 256,
	OPTION_SOCKET,
	OPTION_CREDENTIAL_SOCKET,
	OPTION_CONFIG,
	OPTION_POLICY,
	OPTION_STATE,
	OPTION_ANCHOR,
	OPTION_JOURNAL,
	OPTION_CHECK,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{ "user", no_argument, NULL, OPTION_USER },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "credential-socket", required_argument, NULL, OPTION_CREDENTIAL_SOCKET },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "policy", required_argument, NULL, OPTION_POLICY },
	{ "state", required_argument, NULL, OPTION_STATE },
	{ "anchor", required_argument, NULL, OPTION_ANCHOR },
	{ "journal", required_argument, NULL, OPTION_JOURNAL },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static int misuse(const char *before, const char *what, const char *after)
{
	/* With nothing in it that could steer a terminal, which may be what is wrong. */
	log_error("%s%.200s%s; see jetond --help", before, what, after);
	return 2;
}

/* -1 to go on, else the exit status. */
static int take_option(struct agent *a, int code, bool *check)
{
	switch (code) {
	case OPTION_USER:
		a->user = true;
		return -1;
	case OPTION_SOCKET:
		a->paths.socket = optarg;
		return -1;
	case OPTION_CREDENTIAL_SOCKET:
		a->paths.credential_socket = optarg;
		return -1;
	case OPTION_CONFIG:
		a->paths.config = optarg;
		a->paths.config_given = true;
		return -1;
	case OPTION_POLICY:
		a->paths.policy_dirs[0] = optarg;
		a->paths.n_policy_dirs = 1;
		return -1;
	case OPTION_STATE:
		a->paths.state = optarg;
		return -1;
	case OPTION_ANCHOR:
		a->paths.anchor = optarg;
		return -1;
	case OPTION_JOURNAL:
		a->paths.journal = optarg;
		return -1;
	case OPTION_CHECK:
		*check = true;
		return -1;
	case OPTION_HELP:
		fputs(usage, stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	case OPTION_VERSION:
		puts("jetond " JETON_VERSION);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	return 2;
}

/* The word that getopt_long() did not take: of short ones run together it is not past them yet. */
static int misuse_of_option(char *argv[])
{
	const char *word = argv[optind - 1];

	if (word[0] != '-')
		word = argv[optind];
	return misuse("'", word, "' is no option, or lacks its value, or takes none");
}

static int parse_options(struct agent *a, int argc, char *argv[], bool *check)
{
	const char *missing;
	int code, status, r;

	opterr = 0; /* it would repeat words as they are */
	while (argc > 0 && (code = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (code == '?')
			return misuse_of_option(argv);
		status = take_option(a, code, check);
		if (status >= 0)
			return status;
	}
	if (argc > 0 && optind < argc)
		return misuse("what is '", argv[optind], "'? Only options are taken");
	r = paths_complete(&a->paths, a->user, &missing);
	if (r == -ENOENT)
		return misuse(
			"$", missing,
			" is not set: set it, or give --socket, --config, --policy and --state");
	return r < 0 ? 1 : -1;
}

/* Descriptors 0 to 2 are somebody's, so that nothing of ours becomes a place to print to. */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static void set_signals(void)
{
	static const int ours[] = { SIGTERM, SIGINT, SIGHUP },
			 harmless[] = { SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2 };
	sigset_t set;

	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		signal(harmless[i], SIG_IGN);
	/*
	 * Blocked before the first thread, so that all threads have them blocked: the loop takes
	 * them.
	 */
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		sigaddset(&set, ours[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/*
 * No core, no debugger of the same user. The leak checker of a build for tests is such a debugger.
 */
static void close_to_debuggers(void)
{
#ifndef JETON_SANITIZED
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

static void warn(const char *text)
{
	log_warning("%s", text);
}

static bool load_settings(struct agent *a)
{
	struct settings_message error = { "there is no memory to read the settings" };

	settings_init(&a->settings, a->user);
	if (settings_load(&a->settings, a->paths.config, a->paths.config_given, a->uid, warn,
			  &error) == 0)
		return true;
	log_error("%s", error.text);
	return false;
}

/*
 * Tells what a start would find wrong in the files, and starts nothing: for an upgrade, before it
 * ends a running agent.
 */
static int check_files(struct agent *a)
{
	bool good = load_settings(a);

	return rules_check(a) && good ? 0 : 1;
}

int main(int argc, char *argv[])
{
	static struct agent agent;
	struct agent *a = &agent;
	bool check = false;
	int status, r;

	open_standard_descriptors();
	close_to_debuggers();
	log_init();
	a->uid = geteuid();
	status = parse_options(a, argc, argv, &check);
	if (status >= 0)
		return status;
	if (check)
		return check_files(a);
	if (!a->paths.journal && log_is_journal())
		a->paths.journal = "/run/systemd/journal/socket";
	umask(0077);
	set_signals();
	/* One heap for all threads: the others need little, and it is less to keep resident. */
	(void)mallopt(M_ARENA_MAX, 1);
	if (sodium_init() < 0) {
		log_error("libsodium does not work here");
		return 1;
	}
	if (!load_settings(a))
		return 1;
	r = agent_start(a);
	if (r == 0)
		r = agent_run(a);
	agent_done(a);
	return r < 0 ? 1 : 0;
}
