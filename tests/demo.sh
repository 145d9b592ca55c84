#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Shows every way to listen that this machine has, on real traffic: a plain TCP
# HTTP server of our own, sockfront in front of it, curl asking.  Each answer is
# compared with what the server says.  Then a reload and an upgrade while clients
# come and go.  Everything is stopped again at the end.
# "make demo" builds first and then calls this with the build directory.
set -uo pipefail
unset LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET

build=$(realpath "${1:-build}")
sockfront=$build/sockfront
for program in "$sockfront" "$build/examples/http-server"; do
	if [[ ! -x $program ]]; then
		echo "demo: $program is not there: run make first" >&2
		exit 1
	fi
done

work=$(mktemp -d)
pids=()
shown=0
failed=()
skipped=()

stop_all() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	pids=()
}
trap 'stop_all; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

if [[ -t 1 ]]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
	bold='' dim='' green='' red='' plain=''
fi

# start LOG COMMAND...: runs it in the background, to be stopped at the end.
start() {
	local log=$work/$1
	shift
	# Under nohup(1) they would all ignore it, and a proxy could not be told to reload.
	env --default-signal=HUP "$@" >"$log" 2>&1 </dev/null &
	pids+=($!)
}

# await LOG PATTERN: waits until the log says it; prints what it captured.
await() {
	local try
	for ((try = 0; try < 100; try++)); do
		if [[ -r $work/$1 && $(<"$work/$1") =~ $2 ]]; then
			printf '%s\n' "${BASH_REMATCH[1]-}"
			return 0
		fi
		sleep 0.05
	done
	echo "demo: no word from $1 within 5 s; it said:" >&2
	cat "$work/$1" >&2
	return 1
}

free_port() {
	local port
	for port in $(shuf -i 20000-32000 -n 50); do
		if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return 0
		fi
	done
	return 1
}

# mode TITLE: begins one; the commands behind it are shown as they are typed.
mode() {
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
	title=$1
}

typed() {
	printf '  %s$ %s%s\n' "$dim" "$*" "$plain"
}

# ask ARGUMENT...: shows and runs curl, and holds the answer against what the
# backend says.  Retries only while nobody listens yet: the proxy may be starting.
ask() {
	local answer status
	typed "curl $*"
	answer=$(cd "$work" && curl -sS --max-time 5 --retry 20 --retry-delay 0 --retry-max-time 5 \
		--retry-connrefused "$@" 2>curl.log)
	status=$?
	if ((status == 0)) && [[ $answer == "$text" ]]; then
		printf '    %s%s%s\n' "$green" "$answer" "$plain"
		((++shown))
	else
		printf '    %sWRONG: curl ended with %d: %s%s\n' "$red" "$status" \
			"${answer:-$(<"$work/curl.log")}" "$plain"
		failed+=("$title")
	fi
}

skip() {
	printf '    skipped: %s\n' "$1"
	skipped+=("$title")
}

text="hello from a server that speaks nothing but TCP"
start backend "$build/examples/http-server" 127.0.0.1:0 "$text"
backend=$(await backend 'listening on ([^ ]+:[0-9]+)') || exit 1

printf '%sThe backend%s\n' "$bold" "$plain"
typed "http-server 127.0.0.1:0 '$text'"
ask "http://$backend/"

mode "TCP, on a free port"
typed "sockfront 127.0.0.1:0 $backend"
start tcp "$sockfront" 127.0.0.1:0 "$backend"
if address=$(await tcp '127\.0\.0\.1:([1-9][0-9]*)'); then
	ask "http://127.0.0.1:$address/"
else
	failed+=("$title")
fi

mode "UNIX socket at a path, for its group only"
typed "sockfront --unix-listen-chmod group ./app.sock $backend"
(cd "$work" && exec "$sockfront" --unix-listen-chmod group ./app.sock "$backend") \
	>"$work/unix" 2>&1 </dev/null &
pids+=($!)
await unix '(app\.sock)' >/dev/null
ask --unix-socket ./app.sock http://app/

mode "Abstract UNIX socket"
name=sockfront-demo-$$
typed "sockfront @$name $backend"
start abstract "$sockfront" "@$name" "$backend"
await abstract "($name)" >/dev/null
ask --abstract-unix-socket "$name" http://app/

activate=$(command -v systemd-socket-activate)

# activated OPTION... -- ARGUMENT...: sockfront on a socket from systemd.
activated() {
	local line="${*/#$sockfront/sockfront}"
	typed "systemd-socket-activate ${line/sd-listen:\*/\'sd-listen:*\'}"
	start "activate$shown" "$activate" "$@"
}

mode "Socket from systemd (sd-listen)"
if [[ -n $activate ]]; then
	port=$(free_port)
	activated -l "127.0.0.1:$port" -- "$sockfront" sd-listen "$backend"
	ask "http://127.0.0.1:$port/"
else
	skip "systemd-socket-activate is not installed"
fi

mode "The socket of that name (sd-listen:web)"
if [[ -n $activate ]]; then
	activated -l "$work/named.sock" --fdname=web -- "$sockfront" sd-listen:web "$backend"
	for ((try = 0; try < 100; try++)); do
		[[ -S $work/named.sock ]] && break
		sleep 0.05
	done
	ask --unix-socket ./named.sock http://app/
else
	skip "systemd-socket-activate is not installed"
fi

mode "All sockets from systemd (sd-listen:*)"
if [[ -n $activate ]]; then
	port=$(free_port)
	activated -l "127.0.0.1:$port" -l "@$name-all" -- "$sockfront" 'sd-listen:*' "$backend"
	ask "http://127.0.0.1:$port/"
	ask --abstract-unix-socket "$name-all" http://app/
else
	skip "systemd-socket-activate is not installed"
fi

mode "One process per connection (inetd)"
if [[ -n $activate ]]; then
	port=$(free_port)
	activated --inetd -a -l "127.0.0.1:$port" -- "$sockfront" inetd "$backend"
	ask "http://127.0.0.1:$port/"
else
	skip "systemd-socket-activate is not installed"
fi

mode "Two proxies from a configuration file"
cat >"$work/demo.conf" <<END
[sockfront]
access-log = yes

[proxy one]
listen = $work/one.sock
backend = $backend

[proxy two]
listen = @$name-two
backend = $backend
connect-timeout = 5s
END
sed 's/^/    /' "$work/demo.conf"
typed "sockfront --check -c demo.conf"
if ! "$sockfront" --check -c "$work/demo.conf"; then
	failed+=("$title")
fi
typed "sockfront -c demo.conf"
start file "$sockfront" -c "$work/demo.conf"
await file "($name-two)" >/dev/null
ask --unix-socket ./one.sock http://app/
ask --abstract-unix-socket "$name-two" http://app/
await file '(client=[^'$'\n'']*)' >"$work/line" && printf '  its log: %s\n' "$(<"$work/line")"

# clients N: asks over and over, in the background, until there is a file "enough";
# leaves in clients.N how often the answer was right, and how often it was not.
clients() {
	local right=0 wrong=0
	while [[ -d $work && ! -e $work/enough ]]; do
		if [[ $(curl -sS --max-time 5 --unix-socket "$work/one.sock" http://app/ 2>&1) == "$text" ]]; then
			right=$((right + 1))
		else
			wrong=$((wrong + 1))
		fi
	done
	echo "$right $wrong" >"$work/clients.$1"
}

# settled LOG PATTERN N: waits until so many lines of the log have it.
settled() {
	local try
	for ((try = 0; try < 100; try++)); do
		(($(grep -cE -- "$2" "$work/$1") >= $3)) && return 0
		sleep 0.05
	done
	echo "demo: $1 did not say \"$2\" $3 time(s) within 5 s; it said:" >&2
	cat "$work/$1" >&2
	return 1
}

mode "Ten reloads and ten upgrades, while four clients ask without a pause"
typed "kill -HUP \$PID; kill -USR2 \$PID"
process=${pids[-1]}
asking=()
for ((n = 0; n < 4; n++)); do
	clients "$n" &
	asking+=($!)
done
for ((n = 1; n <= 10; n++)); do
	kill -HUP "$process"
	settled file 'reloaded ' "$n" || break
	kill -USR2 "$process"
	settled file 'process [0-9]+ takes over' "$n" || break
	process=$(sed -n 's/.*process \([0-9]*\) takes over.*/\1/p' "$work/file" | tail -n 1)
	pids[-1]=$process # the one before it ends by itself
done
touch "$work/enough"
wait "${asking[@]}"
right=0 wrong=0
while read -r good bad; do
	right=$((right + good)) wrong=$((wrong + bad))
done < <(cat "$work"/clients.*)
if ((n > 10 && right > 0 && wrong == 0)); then
	printf '    %s%d answers, every one right; process %d took over last%s\n' "$green" "$right" \
		"$process" "$plain"
	((++shown))
else
	printf '    %sWRONG: %d answer(s) right, %d not, after %d of 10 rounds%s\n' "$red" "$right" \
		"$wrong" "$((n - 1))" "$plain"
	failed+=("$title")
fi

stop_all
echo
if ((${#failed[@]})); then
	printf '%sdemo: %d answer(s) right; wrong in:%s\n' "$red" "$shown" "$plain"
	printf '    %s\n' "${failed[@]}"
	exit 1
fi
printf '%sdemo: all %d answers right' "$green" "$shown"
((${#skipped[@]})) && printf '; %d mode(s) skipped' "${#skipped[@]}"
printf '; everything is stopped again%s\n' "$plain"
