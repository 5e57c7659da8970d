# shellcheck shell=bash
# For tests in bash: `check WHAT COMMAND...` for each thing that must hold, `finish` at the end.
# What the command prints is shown where it fails.

tap_n=0
tap_bad=0

check() {
	local what=$1 said
	shift
	tap_n=$((tap_n + 1))
	if said=$("$@" 2>&1); then
		echo "ok $tap_n - $what"
	else
		tap_bad=$((tap_bad + 1))
		echo "not ok $tap_n - $what"
		[ -z "$said" ] || echo "# ${said//$'\n'/$'\n'# }"
	fi
}

skip() { # WHAT REASON
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

# Holds where nothing comes in: what comes is what is wrong.
nothing() {
	local found
	found=$(cat)
	[ -z "$found" ] || {
		echo "$found"
		return 1
	}
}

finish() {
	echo "1..$tap_n"
	exit $((tap_bad > 0))
}
