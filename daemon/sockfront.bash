# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Completion for bash.  The options, and what each takes, are asked of
# "sockfront --help", so that none is listed here.

# What an option takes: the word behind it in the help, such as TIME or N|auto, and
# what the help says of it, which may go on in the next line.
_sockfront_argument()
{
	"$1" --help 2>/dev/null | sed -E ':more; N; $!b more; s/\n {10,}/ /g' |
		sed -nE "s/^ +(-[a-z], )?$2 ([^ ]+) *(.*)/\2 \3/p"
}

_sockfront_paths()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_sockfront_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
}

# An address: a path, an inherited socket by name, or the beginning of one.
_sockfront_address()
{
	case $1 in
	/* | .*)
		_sockfront_paths "$1"
		;;
	*)
		_sockfront_words "$1" "inetd sd-listen sd-listen: accept-from-fd: vsock: localhost: 127.0.0.1:"
		compopt -o nospace 2>/dev/null
		;;
	esac
}

# What an option takes may be completed, or is for the user to say.
_sockfront_value()
{
	local current=$1 kind=${2%% *} words=${2#* }

	case $kind in
	FILE | PATH)
		_sockfront_paths "$current"
		;;
	ADDRESS | HOST:PORT)
		_sockfront_address "$current"
		;;
	LEVEL | MODE) # "one, two or three", perhaps behind a colon
		words=${words#*: }
		words=${words%%(*}
		words=${words/ or / }
		_sockfront_words "$current" "${words//[,]/}"
		;;
	USER)
		mapfile -t COMPREPLY < <(compgen -u -- "$current")
		;;
	GROUP)
		mapfile -t COMPREPLY < <(compgen -g -- "$current")
		;;
	INTERFACE)
		_sockfront_words "$current" "$(cd /sys/class/net 2>/dev/null && echo *)"
		;;
	*'|'*)
		_sockfront_words "$current" "${kind#*|}"
		;;
	esac
}

_sockfront()
{
	local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} kind
	local previous=${COMP_WORDS[COMP_CWORD - 1]} options

	COMPREPLY=()
	# --name=value stands in three words.
	if [[ $current == = ]]; then
		current=
	elif [[ $previous == = && $COMP_CWORD -ge 2 ]]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	[[ $previous == -c ]] && previous=--config
	if [[ $previous == --* ]]; then
		kind=$(_sockfront_argument "$program" "$previous")
		if [[ -n $kind ]]; then
			_sockfront_value "$current" "$kind"
			return
		fi
	fi

	if [[ $current == -* ]]; then
		options=$("$program" --help 2>/dev/null |
			grep -oE -- '(^|[[:space:]])--?[a-zA-Z][a-z0-9-]*' | tr -d '[:blank:]' | sort -u)
		_sockfront_words "$current" "$options"
	else
		_sockfront_address "$current"
	fi
}
complete -F _sockfront sockfront
