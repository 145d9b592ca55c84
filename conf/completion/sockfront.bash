# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
#
# Completion for bash, behind the options that conf/completion/generate.c writes:
# _sockfront_options, and _sockfront_takes, which says how a value is completed.

_sockfront_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
	# Behind a colon there is more to come.
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]]; then
		compopt -o nospace 2>/dev/null
	fi
}

_sockfront_paths()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_sockfront_units()
{
	systemctl list-unit-files --no-legend --no-pager '*.service' 2>/dev/null | cut -d ' ' -f 1
}

_sockfront_value()
{
	local current=$1 kind=${2%% *} words=${2#* }

	case $kind in
	address)
		case $current in
		/* | .*) _sockfront_paths "$current" ;;
		*) _sockfront_words "$current" "$words" ;;
		esac
		;;
	file) _sockfront_paths "$current" ;;
	words | switch) _sockfront_words "$current" "$words" ;;
	user) mapfile -t COMPREPLY < <(compgen -u -- "$current") ;;
	group) mapfile -t COMPREPLY < <(compgen -g -- "$current") ;;
	interface) _sockfront_words "$current" "$(cd /sys/class/net 2>/dev/null && echo *)" ;;
	unit) _sockfront_words "$current" "$(_sockfront_units)" ;;
	esac
}

_sockfront()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local takes joined=

	COMPREPLY=()
	# --name=value comes as three words.
	if [[ $current == = ]]; then
		current='' joined=yes
	elif [[ $previous == = && $COMP_CWORD -ge 2 ]]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]} joined=yes
	fi
	takes=$(_sockfront_takes "$previous")
	if [[ -n $takes && ($takes != switch* || -n $joined) ]]; then
		_sockfront_value "$current" "$takes"
	elif [[ $current == -* ]]; then
		_sockfront_words "$current" "$_sockfront_options"
	else
		_sockfront_value "$current" "$(_sockfront_takes WORD)"
	fi
}
complete -F _sockfront sockfront
