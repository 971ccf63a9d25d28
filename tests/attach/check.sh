# How the attach suite reports. Sourced.
# shellcheck shell=bash
failed=0

# check NAME COMMAND...: one test. What the command prints is shown only if it fails.
check() {
	local name=$1 start output

	shift
	start=$(now)
	if output=$("$@" 2>&1); then
		echo "ok attach: $name ($(since "$start") s)"
	else
		echo "not ok attach: $name"
		# shellcheck disable=SC2001
		sed 's/^/# /' <<<"$output"
		failed=1
		return 1
	fi
}

# measured WORDS...: a line for the reader, which decides nothing.
measured() {
	echo "# attach: $*"
}
