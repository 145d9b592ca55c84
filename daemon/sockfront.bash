# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Completion for bash.  The options are asked of "sockfront --help", so that none
# is listed here; an option whose help line says yes or no takes no next word.

_sockfront()
{
	local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD - 1]} options words=()

	case $previous in
	-c | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	esac

	if [[ $current == -* ]]; then
		options=$("$program" --help 2>/dev/null |
			grep -oE -- '(^|[[:space:]])--?[a-zA-Z][a-z0-9-]*' | tr -d '[:blank:]' | sort -u)
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
		return
	fi

	# An address: a path, an inherited socket by name, or the beginning of one.
	case $current in
	/* | .*)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	*)
		words=(inetd sd-listen sd-listen: accept-from-fd: vsock: localhost: 127.0.0.1:)
		mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
		compopt -o nospace
		;;
	esac
}
complete -o filenames -F _sockfront sockfront
